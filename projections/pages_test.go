package projections

import (
	"context"

	"github.com/chancery-dev/chancery/domain"
)

// listSecrets keeps a page of a list, and where the next one begins.
func listSecrets(ctx context.Context, s *Store, q domain.SecretQuery) (page []domain.Secret, next domain.SecretID, err error) {
	next, err = s.ListSecrets(ctx, q, func(secret *domain.Secret) { page = append(page, secret.Clone()) })
	return page, next, err
}

// historyOf keeps a page of a history, and whether more follows.
func historyOf(s *Store, q domain.HistoryQuery) (page []domain.HistoryEntry, more bool, err error) {
	more, err = s.History(q, func(e *domain.HistoryEntry) error {
		page = append(page, *e)
		return nil
	})
	return page, more, err
}

package domain

import (
	"slices"
	"time"
)

// equal says whether two descriptions are the same, on both sides of every
// change.
func (d Details) equal(o Details) bool {
	return d.Scope == o.Scope && d.SecretID == o.SecretID && d.TeamID == o.TeamID && d.Agent == o.Agent &&
		d.Role == o.Role && d.KeyID == o.KeyID && d.Note == o.Note && d.ExpiresAt.Equal(o.ExpiresAt) &&
		slices.Equal(d.KekIDs, o.KekIDs) && slices.Equal(d.Fields, o.Fields) && d.Changes.equal(o.Changes)
}

func (c Changes) equal(o Changes) bool {
	return equalChange(c.Name, o.Name, same[string]) && equalChange(c.Category, o.Category, same[string]) &&
		equalChange(c.Tags, o.Tags, slices.Equal[[]string]) &&
		equalChange(c.RotateEvery, o.RotateEvery, same[RotateEvery]) &&
		equalChange(c.ExpiresAt, o.ExpiresAt, time.Time.Equal)
}

func same[T comparable](a, b T) bool { return a == b }

func equalChange[T any](a, b *Change[T], equal func(T, T) bool) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	if a.From == nil || b.From == nil {
		return a.From == b.From && equal(a.To, b.To)
	}
	return equal(a.To, b.To) && equal(*a.From, *b.From)
}

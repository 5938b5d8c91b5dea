package accesslog

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/projections/internal/cachefile"
	"github.com/chancery-dev/chancery/proof"
)

// Source is what the projection needs of the access log. It relies on it that
// only what is durable can be seen.
type Source interface {
	// Read yields every message after a position, to the head that Status names
	// as of the call. Where retention removed the next one, it begins with the first that is
	// there.
	Read(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error]
	// Follow yields every message after a position, then those to come,
	// without gap or repeat, and begins as Read does. It does not end before
	// ctx but with an error.
	Follow(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error]
	// Status asks the log about itself. Its head covers everything that was
	// yielded before. First is the oldest message that is
	// there; beyond Head when all of them expired.
	Status(ctx context.Context) (domain.LogStatus, error)
}

// Config says how to open a store. Path, Now, Logger, Decode and DecodeAt are
// required.
type Config struct {
	// Path of the bbolt file. Whatever lies there and can't be used is
	// replaced.
	Path string
	// BootID identifies this run of the machine. "" reads the kernel's.
	BootID string
	// Now is the node's clock.
	Now    func() time.Time
	Logger *slog.Logger
	// Decode gives the records of a message's bytes, as Source gave them.
	Decode func(raw []byte) ([]domain.Access, error)
	// DecodeAt gives one of them, by its index.
	DecodeAt func(raw []byte, index int) (domain.Access, error)
	// Resume is asked when a file is begun on a log whose messages before
	// first have expired: it puts the right edge of the log's tree, as it was
	// at a size of at least first-1, into tiles (see [proof.Restore]) and gives
	// the size. It vouches for the edge by a signed checkpoint. Nil refuses
	// such a log.
	Resume func(ctx context.Context, first uint64, into proof.Tiles) (size uint64, err error)
	// RunRecords is how many records make a run; 0 means 65,536.
	RunRecords int
	// BatchMessages and BatchBytes bound one transaction, and with it what
	// waits in memory; 0 means 512 messages and 8 MiB.
	BatchMessages, BatchBytes int
	// Heartbeat is how often the log is asked for its status; 0 means 5 s.
	Heartbeat time.Duration
	// Applied, when not nil, is told of every transaction once it is committed:
	// the position that it reached. From one goroutine.
	Applied func(position uint64)
}

const defaultRunRecords = 65_536

func (c Config) complete() (Config, error) {
	if c.Path == "" || c.Now == nil || c.Logger == nil || c.Decode == nil || c.DecodeAt == nil {
		return c, errors.New("accesslog: Path, Now, Logger, Decode and DecodeAt are required")
	}
	if c.BootID == "" {
		c.BootID = cachefile.ThisBoot()
	}
	if c.RunRecords == 0 {
		c.RunRecords = defaultRunRecords
	}
	if c.BatchMessages == 0 {
		c.BatchMessages = 512
	}
	if c.BatchBytes == 0 {
		c.BatchBytes = 8 << 20
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 5 * time.Second
	}
	return c, nil
}

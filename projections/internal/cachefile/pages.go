package cachefile

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"
)

// Sizes and flags of the file format (go.etcd.io/bbolt internal/common, file
// version 2). Numbers lie in the machine's byte order.
const (
	pageHead   = 16 // page id, flags, number of rows, further pages that it spans
	rowHead    = 16 // of a branch: place, key size, page; of a leaf: flags, place, key size, value size
	bucketHead = 16 // root page (0: the one page follows), sequence

	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageFreelist = 0x10
	rowBucket    = 0x01
)

// SoundPages gives ErrDamaged unless every page in use is where it must be,
// has its rows within it, and nothing points to one twice. It reads bytes and
// believes none: bbolt's own check believes sizes and page numbers, and runs
// in a goroutine of its own, where a fault or an endless round ends the
// process.
func SoundPages(path string) error {
	return Guarded(func() error {
		o := Options(true)
		o.PreLoadFreelist = true
		db, err := bbolt.Open(path, 0o600, o)
		if err != nil {
			return Damage(err)
		}
		defer db.Close()        //nolint:errcheck // only read.
		f, err := os.Open(path) //nolint:gosec // the store's own file.
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // only read.
		return db.View(func(tx *bbolt.Tx) error {
			size := db.Info().PageSize
			count := tx.Size() / int64(size)
			w := pageWalk{file: f, size: int64(size), pages: make([]pageUse, count)}
			return Damage(w.all(tx))
		})
	})
}

// pageUse is what is known of a page.
type pageUse struct{ begins, named bool }

type pageWalk struct {
	file  io.ReaderAt
	size  int64 // of a page
	pages []pageUse
}

func (w *pageWalk) all(tx *bbolt.Tx) error {
	if err := w.name(uint64(tx.Cursor().Bucket().RootPage())); err != nil {
		return err
	}
	count := int64(len(w.pages))
	for id := int64(2); id < count; { // Open has verified the first two
		switch info, err := tx.Page(int(id)); {
		case err != nil:
			return err
		case info == nil:
			return errPage(id)
		case info.Type == "free": // what it says of itself is old
			id++
			continue
		case info.OverflowCount < 0 || int64(info.OverflowCount) >= count-id:
			return errPage(id)
		default:
			page := make([]byte, int64(1+info.OverflowCount)*w.size)
			if _, err := w.file.ReadAt(page, id*w.size); err != nil {
				return err
			}
			if binary.NativeEndian.Uint64(page) != uint64(id) {
				return errPage(id)
			}
			if w.rows(page) != nil {
				return errPage(id)
			}
			w.pages[id].begins = true
			id += int64(1 + info.OverflowCount)
		}
	}
	for id, use := range w.pages {
		if use.named && !use.begins {
			return errPage(int64(id))
		}
	}
	return nil
}

// rows checks the rows of one page, which may lie within a row itself.
func (w *pageWalk) rows(page []byte) error {
	if len(page) < pageHead {
		return ErrDamaged
	}
	kind, n := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	switch {
	case kind == pageFreelist:
		return nil
	case kind != pageBranch && kind != pageLeaf, pageHead+n*rowHead > len(page):
		return ErrDamaged
	}
	for i := range n {
		at := int64(pageHead + i*rowHead)
		row := page[at : at+rowHead]
		number := func(offset int) int64 { return int64(binary.NativeEndian.Uint32(row[offset:])) }
		if kind == pageBranch {
			if at+number(0)+number(4) > int64(len(page)) {
				return ErrDamaged
			}
			if err := w.name(binary.NativeEndian.Uint64(row[8:])); err != nil {
				return err
			}
			continue
		}
		value := at + number(4) + number(8)
		end := value + number(12)
		if end > int64(len(page)) {
			return ErrDamaged
		}
		if number(0)&rowBucket != 0 {
			if err := w.bucket(page[value:end]); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket checks a value that is a bucket.
func (w *pageWalk) bucket(value []byte) error {
	if len(value) < bucketHead {
		return ErrDamaged
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.name(root)
	}
	return w.rows(value[bucketHead:])
}

// name notes that something points to a page.
func (w *pageWalk) name(id uint64) error {
	if id < 2 || id >= uint64(len(w.pages)) || w.pages[id].named {
		return ErrDamaged
	}
	w.pages[id].named = true
	return nil
}

func errPage(id int64) error { return fmt.Errorf("%w: page %d", ErrDamaged, id) }

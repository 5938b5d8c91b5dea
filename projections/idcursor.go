package projections

import "bytes"

// idCursor walks the ids of secrets that are filed under one prefix, in byte
// order.
type idCursor struct {
	c      *cursor
	prefix []byte
	id     []byte // nil behind the last; not to be kept beyond the transaction
	row    []byte
	looked *int // rows looked at, shared by the cursors of one question
}

func (ts *tables) ids(t table, prefix []byte, after string, looked *int) *idCursor {
	ic := &idCursor{c: ts.at(t).Cursor(), prefix: prefix, looked: looked}
	if after == "" {
		ic.seek(nil)
	} else {
		ic.seek(append([]byte(after), 0)) // the first id behind after
	}
	return ic
}

// seek goes to the first id that is not before id.
func (ic *idCursor) seek(id []byte) {
	ic.set(ic.c.Seek(append(bytes.Clone(ic.prefix), id...)))
}

func (ic *idCursor) next() { ic.set(ic.c.Next()) }

func (ic *idCursor) set(key, row []byte) {
	*ic.looked++
	ic.id, ic.row = nil, nil
	if rest, ok := bytes.CutPrefix(key, ic.prefix); ok {
		ic.id, ic.row = rest, row
	}
}

// join walks the ids that all of several cursors have.
type join struct {
	cursors []*idCursor
	// decided is an id up to which nothing is left to find: where a page that
	// ends early goes on.
	decided []byte
}

// find goes to the next common id and says whether there is one. It gives up,
// with more set, once examine rows have been looked at; decided has then moved.
func (j *join) find(examine int) (id []byte, more bool) {
	for {
		furthest, agree := j.cursors[0].id, true
		for _, c := range j.cursors {
			switch order := bytes.Compare(c.id, furthest); {
			case c.id == nil || furthest == nil:
				return nil, false
			case order > 0:
				furthest, agree = c.id, false
			case order < 0:
				agree = false
			}
		}
		if agree {
			j.decided = furthest
			return furthest, true
		}
		// What lies before the furthest id is missing at that cursor.
		for _, c := range j.cursors {
			if bytes.Compare(c.id, furthest) < 0 {
				if bytes.Compare(c.id, j.decided) > 0 {
					j.decided = c.id
				}
				c.seek(furthest)
			}
		}
		if *j.cursors[0].looked >= examine {
			return nil, true
		}
	}
}

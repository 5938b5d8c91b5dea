package projections

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/domain"
)

// schema is the version of everything in the file: bump it with any change of
// a table, a key, a row or the fold, and files of before are folded anew.
const schema = 4

// table is one bucket of the file.
type table uint8

const (
	tableHost             table = iota // how the file was left: boot id, clean mark; the only one that is no fold
	tableMeta                          // schema and checkpoint
	tableSecrets                       // secret: state of a living secret, metadata only
	tableDeleted                       // secret: state of one that is gone, or not made yet: version, head, time
	tableValues                        // secret, field: sealed value or envelope
	tableHistory                       // secret, version: history entry
	tableCategories                    // scope, category, id: nothing
	tableTags                          // scope, tag, id: nothing
	tableNames                         // scope, id: name of a living secret
	tableDirectories                   // org: version, head, root mark
	tableScopes                        // org, kind, scope id: scope
	tableMembers                       // org, agent, membership: membership
	tableKeys                          // org, key id: API key
	tableAgentKeys                     // org, agent, key id: nothing
	tableLookups                       // lookup id: org, key id
	tableKeyStreams                    // org: version, head of the keys stream
	tableClaims                        // kekId: position of the claiming event, for ever
	tableDeksCurrent                   // dekId, secret, field: nothing; of current envelopes
	tableDeksRecent                    // dekId: nothing; in order of the mint
	tableIdempotency                   // hash of agent, operation, key: the event
	tableIdempotencyTimes              // time, position: key in tableIdempotency
	tableDestructions                  // position of the delete: secret, kekIds not destroyed yet
	tableDestructionRefs               // secret, position: nothing
	tableTiles                         // level, index: hashes of the log's tree, see proof.Tiles
	tableCount
)

// String gives the bucket's name in the file.
func (t table) String() string {
	return [tableCount]string{
		"host", "meta", "secrets", "deleted", "values", "history", "categories", "tags", "names",
		"directories", "scopes", "memberships", "apikeys", "apikeys_by_agent", "apikeys_by_lookup",
		"key_streams", "claimed_keks", "deks_current", "deks_recent", "idempotency", "idempotency_by_time",
		"destructions", "destructions_by_secret", "tiles",
	}[t]
}

// folded lists the tables that hold nothing but the fold of the log.
func folded() []table {
	list := make([]table, 0, tableCount)
	for t := tableMeta; t < tableCount; t++ {
		list = append(list, t)
	}
	return list
}

// tables are the tables as one moment saw them, looked up when first used: the
// file in one transaction, and the layers over it.
type tables struct {
	tx     *bbolt.Tx
	over   *layers      // nil for the file alone
	writer *layerWriter // of a fold: takes the place of the young layer
	open   [tableCount]*rows
}

func (ts *tables) at(t table) *rows {
	if ts.open[t] == nil {
		ts.open[t] = ts.rows(t)
	}
	return ts.open[t]
}

func (ts *tables) rows(t table) *rows {
	r := &rows{table: t, file: ts.tx.Bucket([]byte(t.String())), writer: ts.writer}
	if ts.over == nil {
		return r
	}
	if b := ts.over.young.bulk; b != nil && sought(t) {
		r.runs = b.runs
	}
	young := ts.over.young.tables[t]
	if ts.writer != nil {
		young = ts.writer.tables[t]
	}
	if young != nil {
		r.layers = append(r.layers, young)
	}
	if ts.over.old != nil && ts.over.old.tables[t] != nil {
		r.layers = append(r.layers, ts.over.old.tables[t])
	}
	return r
}

// Keys. The ids of organizations and scopes are ULIDs behind a prefix, so 16
// bytes and the kind say it all. Other ids are of [A-Za-z0-9_.-], so a zero byte
// ends one. Keys sort as their ids do. Tags may hold anything and are preceded
// by their length.

// scopeKey is in front of everything that belongs to a scope: 33 bytes.
func scopeKey(org domain.OrgID, s domain.Scope) []byte {
	k := make([]byte, 0, 33+1+64) // room for the id of a secret, mostly
	of, err := domain.IDBytes(string(org), domain.OrgPrefix)
	id, failed := domain.IDBytes(s.ID, s.Kind.Prefix())
	if err != nil || failed != nil || s.Kind == "" {
		// No such scope is let in anywhere; it must not be taken for another.
		k = append(append(k, noScope...), org...)
		return append(append(append(append(append(k, 0), s.Kind...), 0), s.ID...), 0)
	}
	return append(append(append(k, of[:]...), s.Kind[0]), id[:]...)
}

// noScope has no kind where the others do.
const noScope = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"

func secretKey(r domain.SecretRef) []byte { return append(scopeKey(r.Org, r.Scope), r.ID...) }

// below gives the prefix of everything that is filed under a key.
func below(key []byte) []byte { return beneath(key, 0) }

// beneath is below with room for what follows.
func beneath(key []byte, room int) []byte {
	return append(append(make([]byte, 0, len(key)+1+room), key...), 0)
}

func valueKey(secret []byte, f domain.FieldKey) []byte { return append(beneath(secret, len(f)), f...) }

func versionKey(secret []byte, version uint64) []byte {
	return binary.BigEndian.AppendUint64(beneath(secret, 8), version)
}

// indexPrefix is what every secret of the scope with this category or tag has
// in front of its id.
func indexPrefix(org domain.OrgID, s domain.Scope, value string) []byte {
	return indexKey(scopeKey(org, s), value, "")
}

// indexKey files an id under a category or tag of the scope with this key.
func indexKey(scope []byte, value string, id domain.SecretID) []byte {
	k := make([]byte, 0, len(scope)+binary.MaxVarintLen16+len(value)+len(id))
	k = binary.AppendUvarint(append(k, scope...), uint64(len(value)))
	return append(append(k, value...), id...)
}

func orgKey(org domain.OrgID, parts ...string) []byte {
	k := []byte(org)
	for _, p := range parts {
		k = append(append(k, 0), p...)
	}
	return k
}

// membershipCursor places a membership among its agent's.
func membershipCursor(k domain.MembershipKey) string {
	return k.Scope.String() + "/" + string(k.Special)
}

func dekUse(d domain.DekID, secret []byte, f domain.FieldKey) []byte {
	k := make([]byte, 0, len(d)+len(secret)+1+len(f))
	return append(append(append(append(k, d[:]...), secret...), 0), f...)
}

func positionKey(position uint64) []byte { return binary.BigEndian.AppendUint64(nil, position) }

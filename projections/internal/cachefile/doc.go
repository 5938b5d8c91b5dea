// Package cachefile is how a projection keeps its bbolt file: a cache of a
// log, never synced while it is written, and thrown away whenever it may not
// be what was written.
//
// Invariants that tests name:
//
//  1. The file of another boot of the machine counts only with the mark of a
//     clean shutdown, of another schema never.
//  2. The mark is taken durably before anything else is written, and set when
//     everything before it is on disk.
//  3. A file that is damaged ends in [ErrDamaged], not in a panic or a fault.
//
// Not here: what lies in the tables, and whether it is what the log says.
//
// Sources: go.etcd.io/bbolt (file format, NoSync); proc(5) for the boot id.
package cachefile

package domain

import "time"

// ReportQuery asks for one compliance report. The same query over the same
// positions gives the same bytes, on every node and at any time.
type ReportQuery struct {
	// Org is the organization reported on; "" is all of them.
	Org  OrgID
	Name string // of the report
	// Format is how it is written.
	Format string
	// Events and Access are the last positions that count, of either log; 0
	// takes what the newest signed checkpoint covers.
	Events, Access uint64
	// From and To bound the records by time, From inclusive and To exclusive;
	// zero does not.
	From, To time.Time
	// At is the moment of a report about a state; zero is that of the last
	// event that counts. Every event not later than At is included.
	At time.Time
	// Sample takes that many rows at random, by Seed, each with the same
	// chance; 0 takes all.
	Sample int
	Seed   uint64
}

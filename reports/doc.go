// Package reports answers a compliance reviewer's questions from the logs
// alone: who changed, read and administered what, who could have, and what the
// log says of itself.
//
// A report is columns and a stream of rows; a format is how rows are written.
// Neither knows the other. Every report ends in a manifest: what was asked,
// the positions that counted, how many rows there were, the SHA-256 of what
// was written, the signed checkpoints that cover it, and a signature.
//
// Invariants that tests of this package name:
//
//  1. A report is a pure function of the query and of the logs up to the
//     positions in it: no clock, no chance but the seed. Run again, on another
//     node or after a rebuild, it gives the same bytes.
//  2. A row never holds a value, a key or a token: events come in through
//     [domain.Metadata] alone.
//  3. Reports that list records hold none of them: memory is flat in their
//     number. Those that sum up hold one entry a secret, agent, key or pair of
//     them; a sample holds its rows.
//  4. A log with a gap, or one that ends before the position asked for, is an
//     error. What was written by then is not a report: it has no manifest.
//     Only the report on integrity names gaps and goes on.
//  5. The access matrix agrees with [domain.Principal.May] of every agent as
//     compiled at that moment, for every scope and action.
//  6. Each row of the population has the same chance to be in a sample, and
//     the same seed takes the same rows.
//  7. No cell of a CSV is a formula to a spreadsheet.
//  8. An organization's report shows what concerns that organization.
//  9. Whatever a row holds is text to an HTML page, which runs and loads nothing.
//  10. Every OCSF record follows the published schema, every CloudEvent its
//     specification; one of an event is the record's exact bytes.
//
// Names of agents and scopes are those at the last position that counts, and
// times are those of the fold: the later of an event's own and that of the
// event before it.
//
// Not here: how logs are stored (eventstore), trees and signed notes (proof),
// who may ask (domain.Principal.MayAudit, httpapi).
//
// Sources: RFC 4180 (CSV); OWASP, CSV Injection; Vitter, Random Sampling with a
// Reservoir (1985), algorithm R; OCSF schema 1.6.0; CloudEvents 1.0.2.
package reports

// Package httpapi is Chancery's HTTP face: it authenticates, decodes
// strictly, asks the domain who may, has the executor change and the state
// show, and encodes. It decides nothing about secrets itself.
//
// Invariants that tests of this package name:
//
//  1. Routes and openapi.yaml are equal both ways, as are its codes and
//     [domain.Codes]; every answer is as the document says.
//  2. Checks run in the contract's order: route, method, key, rate, body,
//     shape, authority, position; whatever fails first is what the caller
//     sees, and nothing behind it was touched.
//  3. Whoever may not do something learns nothing about what is there: the
//     answer is the same whether it exists or not.
//  4. Path, body and query are read apart: an id never comes from a body
//     where the path has one. Unknown and repeated parameters are refused.
//  5. What is to be recorded is durable before the answer leaves; when it
//     cannot be recorded, nothing is released. Every call that needs a key and
//     shows more than its caller is to be recorded, and so is every denial.
//  6. Nothing that a client sends yields a 500, and an error that is no
//     [domain.Error] shows the caller the request id alone.
//  7. No value, envelope, key or token stands in a log line, an error, a
//     metric or a header.
//  8. An auditor's key reads histories, access records, reports and the log's
//     files, and gets no value, envelope or data key. Entries of the log, which
//     are those of all organizations, are for the auditor of the whole server.
//  9. A stream that fails behind its first byte breaks its connection off: half
//     of one never looks like a whole one.
//
// A change that was appended is its own record; a write that appended
// nothing but answers with a secret's content is recorded as a read.
//
// Not here: listening, TLS and shutdown (cmd), what a change means (domain)
// and how it is stored (eventstore), keys (kms), how the access log is packed
// and indexed, trees and signatures (proof), what a report says (reports).
//
// Sources: RFC 9110 (HTTP), RFC 9457 (problems), RFC 6750 (bearer tokens),
// OpenAPI 3.1, W3C Trace Context, C2SP tlog-tiles and tlog-checkpoint.
package httpapi

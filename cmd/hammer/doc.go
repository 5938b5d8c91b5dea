// Command hammer loads a server and says what it did: how many operations a
// second, how long they took, and how that compares with what the same
// machine could do at best in the same run.
//
// It starts a server of its own, the shipped binary with its own data
// directory, loads it over loopback with keep-alive HTTP, and stops it. Nothing
// about that server is special: it writes through to the disk before it
// answers, and records every access.
//
// Invariants:
//
//  1. A figure is never better than what a caller saw. A latency runs from
//     when the request was due: in the open loop a request that had to wait
//     for a connection counts from its place in the schedule, not from when it
//     was sent (no coordinated omission).
//  2. Only an answer of the expected status and at least the expected length
//     is an operation. Everything else is an error, and is counted.
//  3. What a workload needs beforehand (secrets, minted data keys) is made
//     before its clock starts.
//  4. A run ends by itself: by time, by operations and by the size of the data
//     directory. What it started is stopped and what it wrote is removed.
//
// What is not here: answers are not decoded (the tests of the server do
// that), and there is no TLS.
//
// The client shares the cores with the server, so it is lean: requests are
// prepared as bytes in which only digits change, and a connection is a plain
// net.Conn (see BenchmarkClients for what that saves beside net/http).
//
// Sources: Gil Tene, "How NOT to Measure Latency", for the open loop; the
// benchmark format of golang.org/design/14313-benchmark-format, which
// benchstat reads; RFC 9112 for what a connection reads.
package main

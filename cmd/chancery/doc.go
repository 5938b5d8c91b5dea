// Command chancery is the whole of Chancery in one binary: the server, its
// maintenance, and the command line of agents and administrators.
//
// Invariants that tests of this package name:
//
//  1. A value never comes from the arguments unless it is declared plaintext,
//     and never goes to standard error.
//  2. Every flag has an environment variable: --foo-bar is CHANCERY_FOO_BAR,
//     and the flag wins.
//  3. The exit status says what kind of failure it was; the table in
//     docs/cli.md and the one in the help are the same.
//  4. A failure is one line on standard error and nothing on standard output.
//  5. With --json, standard output holds the answer's data and nothing else.
//
// Not here: what a call means (client, httpapi), how a server runs (the
// packages that serve wires together).
package main

// Package server is the program behind `chancery serve`: it puts the log, the
// projection, the keys and the HTTP API together and runs them until it is
// told to stop. It is also what the offline commands open a data directory
// with.
//
// What lies in a data directory, and what losing it means:
//
//	jetstream/      the embedded log: everything
//	keys.db         the secrets' keys, wrapped: every value
//	orgkeys.db      the organizations' keys, wrapped: every value
//	root.key        the local root key: without it no value opens again
//	state.db        the projection: rebuilt from the log when missing
//	admin.key       the first administrator's API key: may be moved away
//	consumers.json  who may follow the events over NATS: add them again
//	webhooks/       how far each endpoint of webhooks is
//	repaired-*/     what repair cut off the logs
//	lock            held by the one process that uses the directory
package server

package natsfile

import "fmt"

// ServerVersion is the nats-server whose files this package was written for.
const ServerVersion = "2.15.2"

// CheckVersion compares the linked nats-server's version with [ServerVersion].
// The error says what to do.
func CheckVersion(linked string) error {
	if linked == ServerVersion {
		return nil
	}
	return fmt.Errorf("natsfile: this program is linked with nats-server %s, but reads the files of %s: "+
		"compare filestore.go of both versions, set natsfile.ServerVersion, and run go test ./eventstore/natsfile", linked, ServerVersion)
}

package server

import "testing"

// TestAccessRecordsHaveTheirOwnConnection: an access record is stored while the
// connection of the events is closed.
func TestAccessRecordsHaveTheirOwnConnection(t *testing.T) {
	s, err := openStore(t.Context(), testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	s.conn.Close()
	if _, err := s.log.Status(t.Context()); err == nil {
		t.Error("the events' log answers without its connection")
	}
	if _, err := s.access.Append(t.Context(), []byte("a record\n"), nil); err != nil {
		t.Errorf("an access record without the connection of the events: %v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

package server_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// TestProfiles: profiles are served on an address of their own, on the
// loopback alone, and never by the API.
func TestProfiles(t *testing.T) {
	var address net.Addr
	s := &testServer{Data: filepath.Join(t.TempDir(), "data"), change: func(c *server.Config) {
		c.Profiles, c.ProfilesListening = "127.0.0.1:0", func(a net.Addr) { address = a }
	}}
	s.start(t)
	if runtime.SetMutexProfileFraction(-1) == 0 {
		t.Error("contended locks are not sampled")
	}
	// The server has waited for the disk by now.
	if samples, _ := runtime.BlockProfile(nil); samples == 0 {
		t.Error("blocked goroutines are not sampled")
	}
	for url, want := range map[string]int{
		"http://" + address.String() + "/debug/pprof/goroutine?debug=1": http.StatusOK,
		"http://" + address.String() + "/agent/identity/whoami":         http.StatusNotFound,
		s.URL + "/debug/pprof/": http.StatusNotFound,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != want {
			t.Errorf("%s: status %d, %v", url, res.StatusCode, err)
		}
		if want == http.StatusOK && !strings.Contains(string(body), "goroutine profile") {
			t.Error("no profile")
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if runtime.SetMutexProfileFraction(-1) != 0 {
		t.Error("contended locks are sampled after the end")
	}
	err := server.Run(t.Context(), server.Config{Data: s.Data, Listen: "127.0.0.1:0", Profiles: "0.0.0.0:0", Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("profiles for everybody: %v", err)
	}
}

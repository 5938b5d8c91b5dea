package server_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

func TestTheServerSendsItsEvents(t *testing.T) {
	secret := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	first := make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the sender stopped
		}
		hook, err := standard.NewWebhook(secret)
		if err == nil {
			err = hook.Verify(body, req.Header)
		}
		if err != nil {
			t.Errorf("a delivery does not verify: %v", err)
		}
		select {
		case first <- string(body):
		default:
		}
	}))
	defer receiver.Close()
	file := filepath.Join(t.TempDir(), "hooks.json")
	text := `[{"name":"siem","url":"` + receiver.URL + `/p4th","secrets":["` + secret + `"],"from":"start"}]`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &testServer{Data: filepath.Join(t.TempDir(), "data"), change: func(c *server.Config) { c.Webhooks = file }}
	s.start(t)
	if body := <-first; !strings.Contains(body, `"type":"org.created"`) {
		t.Error("the first delivery is not the first event:", body)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.fsck(t)
	if strings.Contains(s.LogText(), "p4th") || strings.Contains(s.LogText(), secret) {
		t.Error("the log shows the endpoint's path or secret")
	}
}

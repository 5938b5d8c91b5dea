//go:build e2e

package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

// consumerPrograms lists the programs of docs/feeds.md, each as the command
// line that follows the events of the consumer of its name. They run in dir,
// where the keys are.
func consumerPrograms(t *testing.T, dir, url string) map[string][]string {
	t.Helper()
	source, err := filepath.Abs("../docs/example-consumer")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"consumer.mjs", "package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	run(t, source, "go", "build", "-o", filepath.Join(dir, "example-consumer"), ".")
	programs := map[string][]string{
		"go":  {filepath.Join(dir, "example-consumer"), "-url", url, "-name", "go"},
		"cli": {filepath.Join(source, "consumer.sh"), url, "cli"},
		"js":  {"node", "consumer.mjs", url, "js"},
	}
	// A Python with nats-py, for whoever has one: PyPI is not needed otherwise.
	if python := os.Getenv("NATS_PYTHON"); python != "" {
		programs["python"] = []string{python, filepath.Join(source, "consumer.py"), url, "python"}
	}
	return programs
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// started starts a command in a process group of its own, and gives what kills
// all of it.
func started(t *testing.T, cmd *exec.Cmd) (kill func()) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	return kill
}

// feedConsumer is one of the programs, and the file of what it has handled.
type feedConsumer struct {
	t    *testing.T
	name string
	args []string
	dir  string
	kill func()
}

func (c *feedConsumer) start() {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, c.name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "PATH="+filepath.Dir(env(c.t, "NATS_CLI"))+":"+os.Getenv("PATH"))
	c.kill = started(c.t, cmd)
}

// handled lists what stands behind each position, and fails where one was
// handled twice or out of order.
func (c *feedConsumer) handled() (rest []string) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, c.name+".events"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		position, what, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if position != strconv.Itoa(len(rest)+1) {
			c.t.Fatalf("%s: line %d is %.80q", c.name, len(rest)+1, line)
		}
		rest = append(rest, what)
	}
	return rest
}

func (c *feedConsumer) until(n int) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); len(c.handled()) < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(c.dir, c.name+".log"))
			c.t.Fatalf("%s handled %d of %d events\n%s", c.name, len(c.handled()), n, log)
		}
	}
}

// serveFeed starts the binary with a listener for consumers.
func serveFeed(t *testing.T, data, address string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(env(t, "CHANCERY_BINARY"), "serve", "--data", data, "--listen", "127.0.0.1:0", "--nats-listen", address)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	kill = started(t, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	listening, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("the server did not start: %q, %v", line, err)
	}
	return "http://" + listening, kill
}

// writeNames makes secrets whose names have characters of two to four bytes.
func writeNames(t *testing.T, url, data string, round, n int) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(data, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Addr: url, APIKey: strings.TrimSpace(string(key))})
	if err != nil {
		t.Fatal(err)
	}
	who, err := c.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		ref := client.SecretRef{Scope: domain.Scope{Kind: domain.ScopeAgent, ID: who.AgentID}, ID: domain.SecretID(fmt.Sprintf("s-%d-%d", round, i))}
		if _, err := c.CreateSecret(t.Context(), ref, client.NewSecret{
			Name: fmt.Sprintf("clé \u20ac \U0001F511 %d", i), Category: "e2e", Tags: []string{"e2e"}, Fields: []domain.Field{client.PlaintextField("url", "a value")},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConsumers: the programs of docs/feeds.md handle every event, each
// position once by the documented rule, while they and the server are killed.
// What they were given is the log's record byte by byte: its leaves give the
// root that the log signed.
func TestConsumers(t *testing.T) {
	const rounds, each = 3, 12
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	data, dir := filepath.Join(t.TempDir(), "data"), t.TempDir()
	serve(t, data).stop()
	var consumers []*feedConsumer
	for name, args := range consumerPrograms(t, dir, "nats://"+address) {
		mustChancery(t, "consumer", "add", name, "--data", data, "--out", filepath.Join(dir, name+".nk"))
		consumers = append(consumers, &feedConsumer{t: t, name: name, args: args, dir: dir})
	}
	mustChancery(t, "consumer", "add", "plain", "--data", data, "--out", filepath.Join(dir, "plain.nk"))
	url, kill := serveFeed(t, data, address)
	for _, c := range consumers {
		c.start()
	}
	for round := range rounds {
		begun := map[*feedConsumer]int{}
		for _, c := range consumers {
			begun[c] = len(c.handled())
		}
		writeNames(t, url, data, round, each)
		for _, c := range consumers {
			c.until(begun[c] + each/2)
			if round != 1 {
				c.kill()
			}
		}
		if round != 0 {
			kill()
			url, kill = serveFeed(t, data, address)
		}
		for _, c := range consumers {
			if round != 1 {
				c.start()
			}
		}
	}
	const head = 4 + rounds*each // the first start makes four events
	for _, c := range consumers {
		c.until(head)
	}
	for i, c := range []struct{ args, want string }{
		{"info", "Unprocessed Messages: " + strconv.Itoa(head)},
		{"next", "str seq: 1 "},
		{"sub --ack", "str seq: 2 "},
		{"info", "Unprocessed Messages: " + strconv.Itoa(head-2)},
	} {
		args := append([]string{env(t, "NATS_CLI"), "--server", "nats://" + address, "--nkey", "plain.nk", "--inbox-prefix", "_INBOX_plain", "consumer"}, strings.Fields(c.args)...)
		if out := run(t, dir, append(args, "CHANCERY_FEED", "plain")...); !strings.Contains(out, c.want) {
			t.Errorf("step %d, %s: %s", i, c.args, out)
		}
	}
	kill()
	serve(t, data).stop() // in order: everything is signed
	var report struct {
		Logs []struct {
			Log, Root string
			Size      int64
		}
		Feed struct{ First, Last uint64 }
	}
	out := mustChancery(t, "verify", "--json", "--data", data)
	if err := json.NewDecoder(strings.NewReader(out[strings.IndexByte(out, '{'):])).Decode(&report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if report.Feed.First != 1 || report.Feed.Last != head || report.Logs[0].Size != head {
		t.Errorf("verify says %+v", report)
	}
	for _, c := range consumers {
		records := c.handled()
		if len(records) != head {
			t.Errorf("%s handled %d events", c.name, len(records))
		}
		if c.name == "go" {
			continue // its work keeps no record
		}
		if root := rootOf(t, records); root != report.Logs[0].Root {
			t.Errorf("%s: its records have the root %s, the log signed %s", c.name, root, report.Logs[0].Root)
		}
	}
}

// rootOf is the Merkle root over records, as RFC 6962 has it.
func rootOf(t *testing.T, records []string) string {
	t.Helper()
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, i := range indexes {
			found = append(found, hashes[i])
		}
		return found, nil
	})
	for i, r := range records {
		more, err := tlog.StoredHashes(int64(i), []byte(r), reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(int64(len(records)), reader)
	if err != nil {
		t.Fatal(err)
	}
	return root.String()
}

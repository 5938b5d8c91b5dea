package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/natsfile"
	"github.com/chancery-dev/chancery/proof"
)

// TestEveryCommandAfterAPowerLoss: whatever a power loss or a damage left of
// any log, every command that opens the directory says at which position, what
// is lost and what to do, and changes nothing of it; but a torn end of the
// newest block keeps nothing from working.
func TestEveryCommandAfterAPowerLoss(t *testing.T) {
	p := newPowerLoss(t)
	for _, h := range harms() {
		for stream, log := range provedStreams() {
			if h.log && stream == eventstore.ProofStream {
				continue
			}
			harmed := p
			harmed.Config = copyData(t, p.Config)
			h.do(t, harmed, stream)
			before := logFiles(t, harmed.Config)
			for command, c := range openings() {
				t.Run(h.name+"/"+log+"/"+command, func(t *testing.T) {
					p, logged := harmed.logged(t)
					err := c.run(t.Context(), p.Config)
					if h.position == nil || h.atEnd && !c.strict {
						if err != nil {
							t.Fatal(err)
						}
						warned := strings.Contains(logged.String(), fmt.Sprintf("stream=%s position=%d", stream, p.head[stream]+1))
						if warned != h.atEnd {
							t.Errorf("the log names the position: %t\n%s", warned, logged)
						}
						return
					}
					if fault, ok := errors.AsType[*proof.Fault](err); !ok || fault.Log != log || fault.Position != h.position(p, stream) {
						t.Errorf("no fault of %s at %d: %v", log, h.position(p, stream), err)
					}
					words := []string{fmt.Sprintf("position %d", h.position(p, stream)), "Restore the data directory from a backup"}
					if h.torn {
						words[1] = "chancery repair --data " + p.Data
						words = append(words, "nobody was told")
					}
					for _, want := range words {
						if err == nil || !strings.Contains(err.Error(), want) {
							t.Errorf("does not say %q: %v", want, err)
						}
					}
					if errors.Is(err, eventstore.ErrConfiguration) {
						t.Errorf("takes it for a wrong configuration: %v", err)
					}
					if !sameFiles(t, p.Config, before) {
						t.Error("the files were changed")
					}
				})
			}
		}
	}
}

// TestRepairAfterAPowerLoss: what is torn is shown, cut off and kept, and then
// everything works; damage is refused and left as it is.
func TestRepairAfterAPowerLoss(t *testing.T) {
	p := newPowerLoss(t)
	for _, h := range harms() {
		for stream, log := range provedStreams() {
			if h.log && stream == eventstore.ProofStream {
				continue
			}
			t.Run(h.name+"/"+log, func(t *testing.T) {
				p, _ := p.logged(t)
				h.do(t, p, stream)
				before, there := logFiles(t, p.Config), names(t, p.Data)
				for _, dryRun := range []bool{true, false} {
					report, err := Repair(t.Context(), p.Config, dryRun)
					if h.position != nil && !h.torn {
						if err == nil || !strings.Contains(err.Error(), "nothing was cut off") || !strings.Contains(err.Error(), "backup") {
							t.Errorf("damage: %v", err)
						}
					} else if err != nil {
						t.Fatal(err)
					}
					if h.position == nil {
						if len(report.Findings) != 0 {
							t.Errorf("%+v", report)
						}
						continue
					}
					if len(report.Findings) != 1 {
						t.Fatalf("%+v", report)
					}
					f := report.Findings[0]
					// The proofs are their own witness: with a message less, less is known.
					known := f.Durable == p.known[stream] || stream == eventstore.ProofStream && f.Durable > 0 && f.Durable < p.known[stream]
					if f.Log != log || f.Position != h.position(p, stream) || f.Torn != h.torn || !known || f.Cut != (h.torn && !dryRun) || f.Bytes == 0 && !h.log {
						t.Errorf("%+v", f)
					}
					if dryRun && (!sameFiles(t, p.Config, before) || len(names(t, p.Data)) != len(there)) {
						t.Error("--dry-run changed something")
					}
				}
				if !h.torn {
					if !sameFiles(t, p.Config, before) {
						t.Error("the files were changed")
					}
					return
				}
				checkKept(t, p, before)
				checkRepaired(t, p, stream, h.position(p, stream)-1)
			})
		}
	}
}

// checkKept verifies that no byte of the logs is gone: what is not in the blocks
// any more is in the directory of what was cut off.
func checkKept(t *testing.T, p powerLoss, before map[string]string) {
	t.Helper()
	var kept []string
	for _, name := range names(t, p.Data) {
		if strings.HasPrefix(name, "repaired-") {
			for _, file := range entries(t, p.path(name)) {
				if info, err := os.Stat(p.path(name + "/" + file)); err == nil && info.Mode().IsRegular() {
					kept = append(kept, string(mustRead(t, p.path(name+"/"+file))))
				}
			}
		}
	}
	for name, content := range before {
		left, err := os.ReadFile(p.path(name))
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		cut, ok := strings.CutPrefix(content, string(left))
		if !ok {
			t.Errorf("%s: what is left is not what was there", name)
		}
		found := cut == ""
		for _, k := range kept {
			found = found || k == cut
		}
		if !found {
			t.Errorf("%s: %d bytes were cut off and not kept", name, len(cut))
		}
	}
}

// checkRepaired verifies that the log ends at a position, and that everything
// works.
func checkRepaired(t *testing.T, p powerLoss, stream string, last uint64) {
	t.Helper()
	in, err := natsfile.Inspect(p.path(logDirectory), eventstore.LogFiles(nil))
	if err != nil || len(in.Findings) > 0 || in.Last[stream] != last {
		t.Errorf("%+v, %v; want position %d", in, err, last)
	}
	if report, err := Repair(t.Context(), p.Config, false); err != nil || len(report.Findings) > 0 {
		t.Errorf("again: %+v, %v", report, err)
	}
	if _, err := Verify(t.Context(), p.Config, nil); err != nil {
		t.Errorf("verify: %v", err)
	}
	openAndLook(t, p.Config, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		makeTeams(t, s, org, 1)
		recordAccess(t, s, org, 1)
		signLogs(t, s, org)
	})
	if _, err := Fsck(t.Context(), p.Config); err != nil {
		t.Errorf("fsck: %v", err)
	}
}

// TestWitnesses: nothing is cut off at or below a position that any witness
// knows, and no start gives such a position out again. A witness that cannot be
// read is none, and is named.
func TestWitnesses(t *testing.T) {
	sound := newPowerLoss(t)
	for _, tc := range []struct{ file, stream, log string }{
		{stateFile, eventstore.EventsStream, proof.LogEvents}, {accessFile, eventstore.AccessStream, proof.LogAccess},
	} {
		for _, h := range harms() {
			if h.name != "a message is missing that nobody was told of" {
				continue
			}
			t.Run(tc.file, func(t *testing.T) {
				p, _ := sound.logged(t)
				h.do(t, p, tc.stream)
				mustDo(t, os.WriteFile(p.path(tc.file), mustRead(t, sound.caches.path(tc.file)), 0o600))
				report, err := Repair(t.Context(), p.Config, false)
				if err == nil || !strings.Contains(err.Error(), tc.file) || len(report.Findings) != 1 || report.Findings[0].Durable != p.head[tc.stream] {
					t.Errorf("%+v, %v", report, err)
				}
				// Cut at a whole message, nothing is torn: the start itself refuses.
				edit(func(m [][]byte) [][]byte { return m[:len(m)-1] })(t, p, tc.stream)
				before := logFiles(t, p.Config)
				if _, err := openStore(t.Context(), p.Config); err == nil || !strings.Contains(err.Error(), tc.file) || !strings.Contains(err.Error(), "put back on purpose") {
					t.Errorf("it started: %v", err)
				}
				if !sameFiles(t, p.Config, before) {
					t.Error("the files were changed")
				}
				// What cannot be read is no witness.
				mustDo(t, os.WriteFile(p.path(tc.file), bytes.Repeat([]byte{0xa5}, 16<<10), 0o600))
				report, err = Repair(t.Context(), p.Config, false)
				mustDo(t, err)
				named := false
				for _, w := range report.Witnesses {
					named = named || w.Name == tc.file && w.Log == tc.log && w.Unread != "" && w.Position == 0
				}
				if !named {
					t.Errorf("%+v", report.Witnesses)
				}
			})
		}
	}
}

// TestKeyIsAWitness: a key names a position that was durable when the key was
// made, and the log that lost it is not served.
func TestKeyIsAWitness(t *testing.T) {
	p := powerLoss{Config: testConfig(t)}
	var made uint64 // the head of the log at the key's making
	running := testConfig(t)
	openAndLook(t, running, func(s *store) {
		who := administrator(t, s)
		makeTeams(t, s, who.Org, 3)
		status, err := s.log.Status(t.Context())
		mustDo(t, err)
		made = status.Head
		_, err = s.executor.ChangeSecret(t.Context(), domain.SecretRequest{
			Principal: who, Ref: domain.SecretRef{Org: who.Org, Scope: domain.Scope{Kind: domain.ScopeAgent, ID: string(who.Agent)}, ID: "s"},
			Command: domain.CreateSecret{Name: "n", Category: "c", Fields: []domain.Field{{Key: "f", Value: domain.NewPlaintext("v")}}},
		})
		mustDo(t, err)
		mustDo(t, os.CopyFS(p.Data, os.DirFS(running.Data)))
	})
	mustDo(t, os.Chmod(p.rootKeyFile(), 0o600))
	mustDo(t, os.Remove(p.path(stateFile)))
	mark := p.path("jetstream/running")
	mustDo(t, os.WriteFile(mark, otherBoot(t, mustRead(t, mark)), 0o600))
	edit(func(m [][]byte) [][]byte { return m[:made] })(t, p, eventstore.EventsStream)
	openAndLook(t, copyData(t, p.Config), func(*store) {})
	edit(func(m [][]byte) [][]byte { return m[:made-1] })(t, p, eventstore.EventsStream)
	if _, err := openStore(t.Context(), p.Config); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("position %d was durable, as a key in", made)) {
		t.Errorf("it started: %v", err)
	}
}

// TestRepairKilled: a repair that is killed after each log goes on where it
// was, and keeps all that it cuts off.
func TestRepairKilled(t *testing.T) {
	sound := newPowerLoss(t)
	torn := harms()[2]
	killed := errors.New("killed")
	for n := range len(provedStreams()) + 1 {
		p, _ := sound.logged(t)
		for stream := range provedStreams() {
			torn.do(t, p, stream)
		}
		before := logFiles(t, p.Config)
		steps := 0
		p.atStep = func(string) error {
			if steps++; steps == n {
				return killed
			}
			return nil
		}
		report, err := Repair(t.Context(), p.Config, false)
		if n > 0 && !errors.Is(err, killed) || n == 0 && err != nil || len(report.Findings) != 3 {
			t.Fatalf("step %d: %+v, %v", n, report, err)
		}
		p.atStep = nil
		if report, err = Repair(t.Context(), p.Config, false); err != nil || len(report.Findings) != (3-n)%3 {
			t.Errorf("step %d, again: %+v, %v", n, report, err)
		}
		checkKept(t, p, before)
		checkRepaired(t, p, eventstore.EventsStream, p.head[eventstore.EventsStream])
	}
}

// TestTornNewestMessage: what a process that is killed leaves at the end of a
// log keeps nothing from working, and verify says what it is. Whole messages
// behind a damage are not thrown away for it.
func TestTornNewestMessage(t *testing.T) {
	p := newPowerLoss(t)
	boot := mustRead(t, "/proc/sys/kernel/random/boot_id")
	_, positions, _ := strings.Cut(string(mustRead(t, p.path("jetstream/running"))), "\n")
	mustDo(t, os.WriteFile(p.path("jetstream/running"), []byte(strings.TrimSpace(string(boot))+"\n"+positions), 0o600))
	for stream, log := range provedStreams() {
		t.Run(log, func(t *testing.T) {
			p, _ := p.logged(t)
			name := blocks(t, p.Config, stream)[0]
			content := mustRead(t, name)
			torn := append(bytes.Clone(content), content[:40]...)
			binary.LittleEndian.PutUint64(torn[len(content)+4:], p.head[stream]+1)
			mustDo(t, os.WriteFile(name, torn, 0o600))
			if _, err := Verify(t.Context(), p.Config, nil); err == nil || !strings.Contains(err.Error(), "nobody was told") {
				t.Errorf("verify gave %v", err)
			}
			if _, err := Fsck(t.Context(), p.Config); err != nil {
				t.Errorf("fsck gave %v", err)
			}
			if _, err := Verify(t.Context(), p.Config, nil); err != nil {
				t.Errorf("once it was cut off, verify gave %v", err)
			}
			content = mustRead(t, name)
			content[3] ^= 0x40 // the first message's length: the others lie behind it whole
			mustDo(t, os.WriteFile(name, content, 0o600))
			for command, c := range openings() {
				if err := c.run(t.Context(), p.Config); err == nil || !strings.Contains(err.Error(), "backup") {
					t.Errorf("%s took damage for a crash: %v", command, err)
				}
			}
			if !bytes.Equal(content, mustRead(t, name)) {
				t.Error("the messages behind the damage were cut off")
			}
		})
	}
}

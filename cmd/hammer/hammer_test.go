package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMain lets the test binary be the server that does nothing, which hammer
// starts from its own executable.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == noopCommand {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// buildServer builds the program that is loaded.
func buildServer(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "chancery")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../chancery").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// TestHammer runs every workload against a real server, in the closed loop and
// at a rate, and reads the report.
func TestHammer(t *testing.T) {
	binary := buildServer(t)
	file := filepath.Join(t.TempDir(), "report.md")
	if err := os.WriteFile(file, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"closed loop": {"--runs", "2", "--restarts", "--offline", "--out", file},
		"at a rate":   {"--rate", "200", "--ceilings=false", "--workloads", "read,update,mixed"},
	} {
		t.Run(name, func(t *testing.T) {
			args = append(args, "--binary", binary, "--dir", t.TempDir(), "--duration", "150ms", "--warmup", "50ms",
				"--conns", "2", "--secrets", "120", "--sealed", "4", "--history", "60", "--preload-conns", "4")
			var out, errs bytes.Buffer
			if status := run(t.Context(), args, &out, &errs); status != 0 {
				t.Fatalf("exit status %d\n%s\n%s", status, errs.String(), out.String())
			}
			o, err := parseOptions(args, &errs)
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, o, out.String())
		})
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?s)^before\n.*\| create \| 2 \|.*\| chancery verify \|.*\nafter\n$`).Match(text) || strings.Contains(string(text), "old") {
		t.Errorf("the file is\n%s", text)
	}
}

// checkLines holds the output against the benchmark format and the table
// against what was asked for.
func checkLines(t *testing.T, o options, out string) {
	t.Helper()
	for _, name := range o.workloads {
		line := regexp.MustCompile(`(?m)^BenchmarkHammer/work=` + name + `/conns=2\t[1-9][0-9]*\t[1-9][0-9]* ns/op\t[0-9.]+ ops/s\t[0-9.]+ p50-µs\t[0-9.]+ p99-µs\t[0-9.]+ cpu-µs/op$`)
		if n := len(line.FindAllString(out, -1)); n != o.runs {
			t.Errorf("%s: %d lines of %d runs in\n%s", name, n, o.runs, out)
		}
		if n := strings.Count(out, "| "+name+" | 2 |"); n != 1 {
			t.Errorf("%s stands %d times in the table", name, n)
		}
	}
	if strings.Contains(out, "failed") {
		t.Error(out)
	}
}

// TestWrongAnswersAreErrors: what is not answered as it should be is counted,
// named, and makes the exit status 1.
func TestWrongAnswersAreErrors(t *testing.T) {
	f := findings{o: options{runs: 1}, runs: []result{{work: "read", conns: 1, ops: 3, rate: 1, errors: 2, complaint: "2 with status 503"}}}
	var out bytes.Buffer
	if err := f.publish(&out); err == nil || !strings.Contains(out.String(), "2 with status 503") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--workloads", "sleep"},
		{"--conns", "0"},
		{"--duration", "1h"},
		{"--rate", "-1"},
		{"extra"},
		{"--value", "1"},
		{"--out", filepath.Join(t.TempDir(), "missing.md")},
	} {
		var errs bytes.Buffer
		if status := run(t.Context(), args, &errs, &errs); status != 2 {
			t.Errorf("%q: exit status %d", args, status)
		}
	}
}

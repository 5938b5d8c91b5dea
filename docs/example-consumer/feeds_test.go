package main

import (
	"os"
	"strings"
	"testing"
)

// TestPageShowsThePrograms: what docs/feeds.md shows stands in the programs that
// run, line by line.
func TestPageShowsThePrograms(t *testing.T) {
	page, err := os.ReadFile("../feeds.md")
	if err != nil {
		t.Fatal(err)
	}
	for language, file := range map[string]string{"bash": "consumer.sh", "go": "main.go", "js": "consumer.mjs", "python": "consumer.py"} {
		_, rest, ok := strings.Cut(string(page), "\n```"+language+"\n")
		shown, _, ended := strings.Cut(rest, "```\n")
		if !ok || !ended || len(shown) < 100 {
			t.Errorf("the page shows no %s", language)
			continue
		}
		program, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(program), shown) {
			t.Errorf("the page's %s is not in %s:\n%s", language, file, shown)
		}
	}
}

// TestResumes: a file ends at its last whole line, which tells the position.
func TestResumes(t *testing.T) {
	for text, want := range map[string]uint64{
		"": 0, "1 a\n": 1, "1 a\n2 b\n": 2, "9 a\n10 b\n11": 10, "torn": 0,
	} {
		path := t.TempDir() + "/events"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, done, err := open(path)
		if err != nil || done != want {
			t.Errorf("%q: %d, %v", text, done, err)
			continue
		}
		file.Close()
		if left, err := os.ReadFile(path); err != nil || string(left) != text[:strings.LastIndexByte(text, '\n')+1] {
			t.Errorf("%q: left %q, %v", text, left, err)
		}
	}
}

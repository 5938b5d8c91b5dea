package main

import (
	"io"
	"time"
)

// app is one run of the program: its streams, its environment and the global
// flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)

	addr       string
	apiKeyFile string
	json       bool
	timeout    time.Duration
	reason     string
	runID      string

	// keyFileFromEnv says that apiKeyFile was not typed.
	keyFileFromEnv bool
	// addrFromEnv says that addr was not typed.
	addrFromEnv bool
}

// getenv gives a variable, "" when it is not set.
func (a *app) getenv(name string) string {
	v, _ := a.env(name)
	return v
}

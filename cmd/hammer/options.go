package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Bounds of what may be asked for: a run ends by itself.
const (
	maxConns    = 4096
	maxSecrets  = 5_000_000
	maxDuration = 10 * time.Minute
	maxRuns     = 50
	minValue    = 16 // a value holds a number that makes it new
	maxValue    = 32 << 10
)

// options are the flags.
type options struct {
	binary    string
	serveArgs []string
	dir       string
	keep      bool

	workloads []string
	conns     []int
	rate      float64
	duration  time.Duration
	warmup    time.Duration
	runs      int
	maxOps    int
	maxTime   time.Duration
	maxData   int64 // MiB

	secrets      int
	sealed       int
	history      int
	value        int
	preloadConns int
	idempotency  bool
	ceilings     bool
	restarts     bool
	offline      bool
	out          string
}

const intro = `hammer loads a server of its own and reports what it did.

It starts "chancery serve" on a free port of the loopback with a data directory
of its own, loads it with each workload at each number of connections, and
prints a line that benchstat reads for each run, then a table with the median
run of each. The last columns compare with what this machine did at best in the
same run: an echo handler that does nothing, in a process of its own, at as many
connections; one append of 4 KiB with fsync after another in the same directory;
and as many callers that append to a JetStream log and wait for the disk.

Without --rate each connection sends its next request when the last one was
answered. With --rate requests are due at fixed times, whatever the server does,
and a latency counts from when the request was due.

Workloads:
`

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	f := pflag.NewFlagSet("hammer", pflag.ContinueOnError)
	f.SortFlags = false
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, intro)
		for _, w := range workloads() {
			fmt.Fprintf(stderr, "  %-13s %s\n", w.name, w.about)
		}
		fmt.Fprint(stderr, "\nFlags:\n", f.FlagUsages())
	}
	f.StringVar(&o.binary, "binary", "bin/chancery", "the server's `FILE`")
	f.StringArrayVar(&o.serveArgs, "serve-arg", nil, "`ARG`ument to add to \"chancery serve\"; may be repeated")
	f.StringVar(&o.dir, "dir", os.TempDir(), "`DIR`ectory below which the server's data lies, on the disk that is to be measured")
	f.BoolVar(&o.keep, "keep", false, "keep the server's data")
	f.StringSliceVarP(&o.workloads, "workloads", "w", names(), "workloads, in order")
	f.IntSliceVarP(&o.conns, "conns", "c", []int{1, 16, 64}, "numbers of connections")
	f.Float64VarP(&o.rate, "rate", "r", 0, "requests a second (open loop); 0 means as fast as they are answered (closed loop)")
	f.DurationVarP(&o.duration, "duration", "d", 3*time.Second, "how long each run is measured, at most 10m")
	f.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "how long each run goes before that")
	f.IntVar(&o.runs, "runs", 1, "how often each workload runs at each number of connections")
	f.IntVar(&o.maxOps, "max-ops", 2_000_000, "most operations of one run")
	f.DurationVar(&o.maxTime, "max-time", 20*time.Minute, "when all of it is given up")
	f.Int64Var(&o.maxData, "max-data", 8<<10, "most `MiB` of the data directory")
	f.IntVarP(&o.secrets, "secrets", "s", 20_000, "secrets to make first, with 2 plaintext fields each")
	f.IntVar(&o.sealed, "sealed", 2000, "more secrets to make first, with a plaintext and an encrypted field, for decrypt")
	f.IntVar(&o.history, "history", 1000, "events of the secret whose history is read")
	f.IntVar(&o.value, "value", 32, "bytes of a value")
	f.IntVar(&o.preloadConns, "preload-conns", 64, "connections that make them")
	f.BoolVar(&o.idempotency, "idempotency", true, "send an Idempotency-Key with each write, as the clients do")
	f.BoolVar(&o.ceilings, "ceilings", true, "measure what the machine does at best")
	f.BoolVar(&o.restarts, "restarts", false, "measure how long a start takes, after a clean stop and after a kill")
	f.BoolVar(&o.offline, "offline", false, "measure chancery rebuild and chancery verify on what was written")
	f.StringVar(&o.out, "out", "", "Markdown `FILE` in which to replace what lies between the two marks of a report")
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	if f.NArg() > 0 {
		return options{}, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	return o, o.check()
}

func (o options) check() error {
	if o.out != "" {
		if err := checkMarks(o.out); err != nil {
			return err
		}
	}
	for _, name := range o.workloads {
		if _, ok := find(name); !ok {
			return fmt.Errorf("--workloads: no %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	for _, n := range o.conns {
		if n < 1 || n > maxConns {
			return fmt.Errorf("--conns is 1 to %d", maxConns)
		}
	}
	switch {
	case len(o.workloads) == 0 || len(o.conns) == 0:
		return errors.New("there is nothing to run")
	case !(o.rate >= 0 && o.rate <= 1e6): // and no NaN
		return errors.New("--rate is 0 to 1000000")
	case o.duration <= 0 || o.duration > maxDuration || o.warmup < 0 || o.warmup > maxDuration:
		return errors.New("--duration and --warmup are at most 10m")
	case o.runs < 1 || o.runs > maxRuns:
		return fmt.Errorf("--runs is 1 to %d", maxRuns)
	case o.maxOps < 1 || o.maxTime <= 0 || o.maxData < 1:
		return errors.New("--max-ops, --max-time and --max-data are more than 0")
	case o.secrets < 1 || o.secrets > maxSecrets || o.sealed < 1 || o.sealed > maxSecrets:
		return fmt.Errorf("--secrets and --sealed are 1 to %d", maxSecrets)
	case o.history < 1 || o.history > 1_000_000:
		return errors.New("--history is 1 to 1000000")
	case o.value < minValue || o.value > maxValue:
		return fmt.Errorf("--value is %d to %d", minValue, maxValue)
	case o.preloadConns < 1 || o.preloadConns > maxConns:
		return fmt.Errorf("--preload-conns is 1 to %d", maxConns)
	}
	return nil
}

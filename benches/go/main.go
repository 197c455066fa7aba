// The workloads of `compare` in Go: what they are for is written in the Rust files of the same names, in ../src/workload.
//
// `compare` builds and starts this program. It prints one line of figures, as its own children do, and fails if a
// workload's check fails. Goroutines run on as many processors as there are workers (GOMAXPROCS), and all else is as it
// comes, the collector too.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A workload runs so many operations and returns the figures.
type workload func(ops uint64) ([]float64, error)

func main() {
	workers := flag.Int("workers", 1, "processors that run goroutines")
	ops := flag.Uint64("ops", 1, "operations to measure")
	warmUp := flag.Bool("warm-up", false, "whether a tenth of them comes before")
	longEnough := flag.Duration("long-enough", time.Second, "what a measurement of equal operations is shortened to, when warmed up")
	var around surrounding
	flag.StringVar(&around.row, "row", "", "a server: the row's name")
	flag.StringVar(&around.load, "load", "", "a server: the program that is the load generator; without it somebody else starts one")
	flag.StringVar(&around.listen, "listen", "127.0.0.1:0", "a server: where to listen")
	limit := flag.Duration("limit", 0, "when to give up; 0 is never")
	flag.Parse()

	runtime.GOMAXPROCS(*workers)
	if *limit > 0 {
		time.AfterFunc(*limit, func() { fail(fmt.Errorf("did not end within %v", *limit)) })
	}
	run, canShorten, err := find(flag.Args(), around)
	if err != nil {
		fail(err)
	}
	if *warmUp && canShorten {
		few := (*ops + 99) / 100
		start := time.Now()
		if _, err := run(few); err != nil {
			fail(err)
		}
		affordable := float64(few) * longEnough.Seconds() / time.Since(start).Seconds()
		*ops = max(min(*ops, uint64(affordable)), few)
	}
	if *warmUp {
		if _, err := run((*ops + 9) / 10); err != nil {
			fail(err)
		}
	}
	figures, err := run(*ops)
	if err != nil {
		fail(err)
	}
	words := []string{"figures"}
	for _, figure := range figures {
		words = append(words, strconv.FormatFloat(figure, 'f', -1, 64))
	}
	fmt.Println(strings.Join(words, " "))
}

// find returns the workload that the words name, and whether it may be shortened for whoever is slow.
func find(words []string, around surrounding) (run workload, canShorten bool, err error) {
	if len(words) == 0 {
		return nil, false, fmt.Errorf("the workload is missing")
	}
	name, rest := words[0], words[1:]
	var numbers []int
	for _, word := range rest {
		if number, err := strconv.Atoi(word); err == nil {
			numbers = append(numbers, number)
		}
	}
	switch {
	case name == "message" && len(numbers) == 3:
		return message(numbers[0], numbers[1], numbers[2]), true, nil
	case name == "pingpong" && len(numbers) == 1:
		return pingpong(numbers[0]), true, nil
	case name == "ring":
		return ring, true, nil
	case name == "sieve" && len(numbers) == 1:
		return sieve(numbers[0]), false, nil
	case name == "select" && len(numbers) == 1:
		return selects(numbers[0]), true, nil
	case name == "mutex" && len(rest) == 1:
		return mutex(rest[0] == "held"), true, nil
	case name == "cancel" && len(rest) == 1:
		return cancel(rest[0] == "waiters"), false, nil
	case name == "spawn":
		return spawn, false, nil
	case name == "yield":
		return yield, false, nil
	case name == "sleep" && len(rest) == 1:
		duration, err := time.ParseDuration(rest[0])
		return sleep(duration), false, err
	case name == "stall" && len(rest) == 1:
		return stall(rest[0]), false, nil
	case name == "echo", name == "churn", name == "connections", name == "http":
		run, err := network(around, words)
		return run, false, err
	case name == "memory":
		return memory, false, nil
	case name == "chain":
		return chain, true, nil
	case name == "forkjoin" && len(rest) == 1:
		return forkJoin(rest[0] == "work"), true, nil
	case name == "uneven":
		return uneven, false, nil
	case name == "timeout":
		return timeout, false, nil
	case name == "timers":
		return timers, false, nil
	case name == "tick":
		return tick, false, nil
	case name == "idle":
		return idle, false, nil
	}
	return nil, false, fmt.Errorf("there is no workload %v", words)
}

// shares divides ops among so many goroutines; the shares differ by one at most.
func shares(ops uint64, count int) []uint64 {
	shares := make([]uint64, count)
	for i := range shares {
		shares[i] = ops / uint64(count)
		if uint64(i) < ops%uint64(count) {
			shares[i]++
		}
	}
	return shares
}

// check fails unless all of the work was done.
func check(what string, done, ordered uint64) error {
	if done != ordered {
		return fmt.Errorf("%d %s, but %d were ordered", done, what, ordered)
	}
	return nil
}

// each returns the nanoseconds of one of so many operations.
func each(elapsed time.Duration, ops uint64) float64 {
	return float64(elapsed.Nanoseconds()) / float64(ops)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "go:", err)
	os.Exit(1)
}

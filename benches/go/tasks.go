package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// spawn starts goroutines that end at once, in batches of a thousand, and waits for each batch.
func spawn(ops uint64) ([]float64, error) {
	const batch = 1000
	var outputs [batch]uint64
	var joined uint64
	start := time.Now()
	for left := ops; left > 0; {
		count := min(left, batch)
		var tasks sync.WaitGroup
		tasks.Add(int(count))
		for i := range count {
			go func() {
				outputs[i] = 1
				tasks.Done()
			}()
		}
		tasks.Wait()
		for i := range count {
			joined += outputs[i]
			outputs[i] = 0
		}
		left -= count
	}
	elapsed := time.Since(start)
	return []float64{each(elapsed, ops)}, check("tasks were joined", joined, ops)
}

// yield has two hundred goroutines give way over and over.
func yield(ops uint64) ([]float64, error) {
	var yielded atomic.Uint64
	var tasks sync.WaitGroup
	start := time.Now()
	for _, share := range shares(ops, 200) {
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			for range share {
				runtime.Gosched()
			}
			yielded.Add(share)
		}()
	}
	tasks.Wait()
	elapsed := time.Since(start)
	return []float64{each(elapsed, ops)}, check("times a task yielded", yielded.Load(), ops)
}

// sleep has one goroutine, alone, sleep over and over.
func sleep(duration time.Duration) workload {
	return func(ops uint64) ([]float64, error) {
		slept := make([]time.Duration, 0, ops)
		before := cpu()
		for range ops {
			start := time.Now()
			time.Sleep(duration)
			slept = append(slept, time.Since(start))
		}
		used := cpu() - before
		early := 0
		for _, time := range slept {
			if time < duration {
				early++
			}
		}
		slices.Sort(slept)
		late := func(share float64) float64 { return micros(max(percentile(slept, share)-duration, 0)) }
		figures := []float64{late(0.50), late(0.99), float64(early), each(used, ops) / 1e3}
		return figures, check("sleeps ended", uint64(len(slept)), ops)
	}
}

// memory counts the resident bytes of a goroutine that sleeps, and the time to start it and to end it. They have longer than the
// tasks of the others until they end, since it takes them longer until all are asleep.
func memory(ops uint64) ([]float64, error) {
	time.Sleep(time.Millisecond)
	before, err := resident()
	if err != nil {
		return nil, err
	}
	var begun, ended atomic.Uint64
	asleep, awake := make(chan time.Time, 1), make(chan time.Time, 1)
	start := time.Now()
	end := start.Add(time.Second + time.Duration(ops)*20*time.Microsecond)
	for range ops {
		go func() {
			if begun.Add(1) == ops {
				asleep <- time.Now()
			}
			time.Sleep(time.Until(end))
			if ended.Add(1) == ops {
				awake <- time.Now()
			}
		}()
	}
	spawned := (<-asleep).Sub(start)
	time.Sleep(20 * time.Millisecond)
	after, err := resident()
	if err != nil {
		return nil, err
	}
	if err := check("goroutines had ended before all were asleep", ended.Load(), 0); err != nil {
		return nil, err
	}
	bytes := max(float64(after)-float64(before), 0) / float64(ops)
	return []float64{bytes, each(spawned, ops), each(max((<-awake).Sub(end), 0), ops)}, nil
}

// cpu is the CPU time of all threads of this process.
func cpu() time.Duration {
	used, _ := usage(syscall.RUSAGE_SELF)
	return used
}

// usage is the CPU time, and how often threads were switched, of this process or of this thread.
func usage(who int) (time.Duration, uint64) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		fail(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), uint64(usage.Nvcsw + usage.Nivcsw)
}

// percentile is what so large a share of the sorted times do not exceed; 0 of none.
func percentile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(share*float64(len(sorted)-1)+0.5)]
}

func micros(duration time.Duration) float64 {
	return float64(duration.Nanoseconds()) / 1e3
}

// resident is the resident memory of this process in bytes.
func resident() (uint64, error) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(statm))
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

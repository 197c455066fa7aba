package main

import (
	"context"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// timeout has 64 goroutines each make a context with a deadline of a second, give way once under it, and cancel it in time.
func timeout(ops uint64) ([]float64, error) {
	inTime := make([]uint64, 64)
	var tasks sync.WaitGroup
	before := cpu()
	start := time.Now()
	for i, share := range shares(ops, len(inTime)) {
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			var count uint64
			for range share {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				runtime.Gosched()
				if ctx.Err() == nil {
					count++
				}
				cancel()
			}
			inTime[i] = count
		}()
	}
	tasks.Wait()
	elapsed, used := time.Since(start), cpu()-before
	var total uint64
	for _, count := range inTime {
		total += count
	}
	return []float64{each(elapsed, ops), each(used, ops)}, check("goroutines were ready in time", total, ops)
}

// timers has many goroutines sleep, a hundred of which are due in each millisecond.
func timers(ops uint64) ([]float64, error) {
	const apart, shuffle = 10 * time.Microsecond, 0x9e3779b1
	size := uint64(1) << bits.Len64(ops-1)
	slept := make([]time.Duration, 0, ops)
	var tasks sync.WaitGroup
	tasks.Add(int(ops))
	before := cpu()
	for index := range size {
		place := index * shuffle % size
		if place >= ops {
			continue
		}
		duration := apart * time.Duration(ops/10+place)
		at := len(slept)
		slept = append(slept, 0)
		go func() {
			start := time.Now()
			time.Sleep(duration)
			slept[at] = time.Since(start) - duration
			tasks.Done()
		}()
	}
	tasks.Wait()
	used := cpu() - before
	early := 0
	for _, late := range slept {
		if late < 0 {
			early++
		}
	}
	slices.Sort(slept)
	late := func(share float64) float64 { return micros(percentile(slept[early:], share)) }
	figures := []float64{each(used, ops), late(0.50), late(0.99), float64(early)}
	return figures, check("sleeps ended", uint64(len(slept)), ops)
}

// tick has one goroutine sleep 100 ms over and over.
func tick(ops uint64) ([]float64, error) {
	const long = 100 * time.Millisecond
	start := time.Now()
	cpu, switches := usage(syscall.RUSAGE_SELF)
	for range ops {
		time.Sleep(long)
	}
	cpuAfter, switchesAfter := usage(syscall.RUSAGE_SELF)
	if slept := time.Since(start); slept < long*time.Duration(ops) {
		return nil, fmt.Errorf("%d ticks took %v only", ops, slept)
	}
	return []float64{each(cpuAfter-cpu, ops) / 1e3, float64(switchesAfter-switches) / float64(ops)}, nil
}

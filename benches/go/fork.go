package main

import (
	"sync"
	"time"
)

// chain has each goroutine start the next and end.
func chain(ops uint64) ([]float64, error) {
	type end struct {
		elapsed time.Duration
		begun   uint64
	}
	ended := make(chan end)
	start := time.Now()
	var link func(begun uint64)
	link = func(begun uint64) {
		if begun < ops {
			go link(begun + 1)
		} else {
			ended <- end{time.Since(start), begun}
		}
	}
	go link(1)
	last := <-ended
	return []float64{each(last.elapsed, ops)}, check("links were started", last.begun, ops)
}

// forkJoin has goroutines start two others and wait for both, down to the leaves of binary trees.
func forkJoin(works bool) workload {
	leaf := func() uint64 { return 1 }
	if works {
		leaf = func() uint64 { return work(1) }
	}
	var fork func(leaves uint64, sum *uint64, done *sync.WaitGroup)
	fork = func(leaves uint64, sum *uint64, done *sync.WaitGroup) {
		defer done.Done()
		if leaves == 1 {
			*sum = leaf()
			return
		}
		var left, right uint64
		var children sync.WaitGroup
		children.Add(2)
		go fork(leaves/2, &left, &children)
		go fork(leaves-leaves/2, &right, &children)
		children.Wait()
		*sum = left + right
	}
	return func(ops uint64) ([]float64, error) {
		const leaves = 4096
		var sum uint64
		start := time.Now()
		for left := ops; left > 0; {
			count := min(left, leaves)
			var tree uint64
			var root sync.WaitGroup
			root.Add(1)
			go fork(count, &tree, &root)
			root.Wait()
			sum += tree
			left -= count
		}
		elapsed := time.Since(start)
		tasks := 2*ops - (ops+leaves-1)/leaves
		return []float64{each(elapsed, tasks)}, check("is the sum of the leaves", sum, ops*leaf())
	}
}

// uneven has one goroutine start many that compute for a microsecond, and a thousand times as long each hundredth.
func uneven(ops uint64) ([]float64, error) {
	const batch, rare, long = 1000, 100, 1000
	units := func(index uint64) uint64 {
		if index%rare == rare/2 {
			return long
		}
		return 1
	}
	var outputs [batch]uint64
	var sum, total uint64
	start := time.Now()
	for next := uint64(0); next < ops; next += batch {
		end := min(ops, next+batch)
		var tasks sync.WaitGroup
		tasks.Add(int(end - next))
		for index := next; index < end; index++ {
			go func() {
				outputs[index-next] = work(units(index))
				tasks.Done()
			}()
		}
		tasks.Wait()
		for _, output := range outputs[:end-next] {
			sum += output
		}
	}
	elapsed := time.Since(start)
	expected := uint64(0)
	short, all := work(1), work(long)
	for index := range ops {
		total += units(index)
		if units(index) == long {
			expected += all
		} else {
			expected += short
		}
	}
	return []float64{each(elapsed, total)}, check("is the sum of the work", sum, expected)
}

// first is where work begins. A variable, so that the compiler does not know it.
var first uint64 = 1

// work is as many units of it as in ../src/work.rs.
func work(units uint64) uint64 {
	state := first
	for range units * 500 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
	}
	return state
}

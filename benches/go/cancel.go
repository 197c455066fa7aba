package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	branches  = 100
	maxLeaves = 100_000
)

// cancel cancels the root of a tree of contexts, with or without a goroutine at each leaf.
func cancel(waiters bool) workload {
	return func(ops uint64) ([]float64, error) {
		var elapsed time.Duration
		var nodes uint64
		for left := ops; left > 0; {
			leaves := min(left, maxLeaves)
			took, cancelled := cancelTree(leaves, waiters)
			if err := check("leaves were cancelled", cancelled, leaves); err != nil {
				return nil, err
			}
			elapsed += took
			nodes += 1 + branches + leaves
			left -= leaves
		}
		return []float64{each(elapsed, nodes)}, nil
	}
}

func cancelTree(count uint64, waiters bool) (time.Duration, uint64) {
	root, cancelRoot := context.WithCancel(context.Background())
	// A cancel function that is not called keeps its node in the tree, which is what is wanted.
	var cancels []context.CancelFunc
	var leaves []context.Context
	for _, share := range shares(count, branches) {
		branch, cancelBranch := context.WithCancel(root)
		cancels = append(cancels, cancelBranch)
		for range share {
			leaf, cancelLeaf := context.WithCancel(branch)
			leaves = append(leaves, leaf)
			cancels = append(cancels, cancelLeaf)
		}
	}
	var elapsed time.Duration
	var cancelled uint64
	if waiters {
		var begun, ended atomic.Uint64
		var waiting sync.WaitGroup
		waiting.Add(len(leaves))
		for _, leaf := range leaves {
			go func() {
				defer waiting.Done()
				begun.Add(1)
				<-leaf.Done()
				ended.Add(1)
			}()
		}
		for begun.Load() < count {
			runtime.Gosched()
		}
		start := time.Now()
		cancelRoot()
		waiting.Wait()
		elapsed = time.Since(start)
		cancelled = ended.Load()
	} else {
		start := time.Now()
		cancelRoot()
		elapsed = time.Since(start)
		for _, leaf := range leaves {
			if leaf.Err() != nil {
				cancelled++
			}
		}
	}
	runtime.KeepAlive(cancels)
	return elapsed, cancelled
}

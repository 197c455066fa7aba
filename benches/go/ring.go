package main

import "time"

// ring passes one token round a hundred goroutines, this one among them.
func ring(ops uint64) ([]float64, error) {
	const tasks = 100
	laps := (ops + tasks - 1) / tasks
	hops := laps * tasks
	passed := make(chan uint64, tasks)
	first := make(chan uint64, 1)
	end := first
	for range tasks - 1 {
		before, next := end, make(chan uint64, 1)
		go func() {
			var count uint64
			for token := range before {
				next <- token + 1
				count++
			}
			close(next)
			passed <- count
		}()
		end = next
	}
	start := time.Now()
	token := uint64(0)
	for range laps {
		first <- token + 1
		token = <-end
	}
	elapsed := time.Since(start)
	close(first)
	total := laps
	for range tasks - 1 {
		total += <-passed
	}
	if err := check("times a task passed the token on", total, hops); err != nil {
		return nil, err
	}
	if err := check("is what the token counted", token, hops); err != nil {
		return nil, err
	}
	return []float64{each(elapsed, hops)}, nil
}

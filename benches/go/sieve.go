package main

import "time"

// sieve is the classic one. Its goroutines are left where they stand, as the classic does: in Go nobody tells a sender that
// there is no receiver any more.
func sieve(capacity int) workload {
	return func(ops uint64) ([]float64, error) {
		start := time.Now()
		found := make([]uint64, 0, ops)
		numbers := make(chan uint64, capacity)
		go generate(numbers)
		for uint64(len(found)) < ops {
			prime := <-numbers
			found = append(found, prime)
			passed := make(chan uint64, capacity)
			go filter(prime, numbers, passed)
			numbers = passed
		}
		elapsed := time.Since(start)
		candidate := uint64(2)
		for _, prime := range found {
			for !isPrime(candidate) {
				candidate++
			}
			if err := check("was found for a prime", prime, candidate); err != nil {
				return nil, err
			}
			candidate++
		}
		return []float64{each(elapsed, ops) / 1e3}, nil
	}
}

func generate(next chan<- uint64) {
	for number := uint64(2); ; number++ {
		next <- number
	}
}

func filter(prime uint64, numbers <-chan uint64, next chan<- uint64) {
	for number := range numbers {
		if number%prime != 0 {
			next <- number
		}
	}
}

func isPrime(number uint64) bool {
	for by := uint64(2); by*by <= number; by++ {
		if number%by == 0 {
			return false
		}
	}
	return true
}

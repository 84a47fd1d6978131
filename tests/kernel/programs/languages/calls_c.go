// Go and C call each other, with goroutines that change threads and stacks in between.
package main

/*
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

long callBack(long);

static long add(long one, long other) { return one + other; }

static long there_and_back(long depth) { return depth <= 0 ? 1 : 1 + callBack(depth - 1); }

static int by_value(const void *one, const void *other) { return *(const int *)one - *(const int *)other; }

static void sort(int *numbers, int count) { qsort(numbers, count, sizeof(int), by_value); }
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync"
)

//export callBack
func callBack(depth C.long) C.long {
	if depth%5 == 3 {
		runtime.GC()
	}
	return C.there_and_back(depth-1) + grow(int(depth)*50)
}

//go:noinline
func grow(depth int) C.long {
	var pad [32]int
	if depth <= 0 {
		return C.long(pad[0])
	}
	return grow(depth-1) + C.long(pad[depth%32])
}

func main() {
	fmt.Println(len(os.Args), os.Args[1], C.add(2, 3))
	var group sync.WaitGroup
	results := make([]C.long, 7)
	for index := range results {
		group.Add(1)
		go func(index int) {
			defer group.Done()
			results[index] = C.there_and_back(C.long(3 * index))
			runtime.Gosched()
		}(index)
	}
	group.Wait()
	numbers := []C.int{5, 2, 11, 3, 7}
	C.sort(&numbers[0], C.int(len(numbers)))
	fmt.Println(results, numbers)
	os.Exit(3)
}

// What Go programs do: goroutines on growing stacks, panics, channels, finalisers, signals, files, children.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
)

type shape interface{ area() float64 }
type square struct{ side float64 }

func (s square) area() float64 { return s.side * s.side }

//go:noinline
func deep(depth int, pad [64]int) int {
	if depth == 0 {
		return pad[3]
	}
	pad[depth%64]++
	return deep(depth-1, pad) + 1
}

func recovered(work func()) (what string) {
	defer func() {
		what = fmt.Sprint(recover())
	}()
	work()
	return "none"
}

func workers() int {
	var group sync.WaitGroup
	var lock sync.Mutex
	sum := 0
	jobs := make(chan int)
	for worker := 0; worker < 7; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for job := range jobs {
				result := deep(job*37, [64]int{})
				lock.Lock()
				sum += result
				lock.Unlock()
				runtime.Gosched()
			}
		}()
	}
	for job := 0; job < 53; job++ {
		jobs <- job
	}
	close(jobs)
	group.Wait()
	return sum
}

func main() {
	fmt.Println(len(os.Args), os.Args[1])
	fmt.Println(workers())
	var none map[string]int
	fmt.Println(recovered(func() { none["x"] = 1 }), recovered(func() { panic(errors.New("own")) }))
	fmt.Println(recovered(func() { var p *square; fmt.Println(p.side) }))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals)
	for round := 0; round < 3; round++ {
		runtime.GC()
	}
	file, _ := os.CreateTemp("", "everything")
	defer os.Remove(file.Name())
	fmt.Fprint(file, strings.Repeat("line\n", 11))
	file.Close()
	data, err := os.ReadFile(file.Name())
	fmt.Println(len(data), err)
	output, err := exec.Command("sh", "-c", "echo child; exit 5").Output()
	fmt.Printf("%s%v\n", output, err)
	shapes := []shape{square{3}, square{1}, square{2}}
	sort.Slice(shapes, func(i, j int) bool { return shapes[i].area() < shapes[j].area() })
	fmt.Println(shapes)
	os.Remove(file.Name())
	os.Exit(3)
}

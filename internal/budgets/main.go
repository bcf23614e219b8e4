// Command budgets sends every type of frame to sessions and measures the cost: the number of bytes
// that a session keeps, and the number of allocations, for each byte sent by the peer.
//
//	go run ./internal/budgets           # prints the table
//	go run ./internal/budgets -write    # replaces the table in docs/budgets.md
//
// Run the command in the top directory of the module. The test checks sessions against the largest
// figures on the page.
package main

import (
	"flag"
	"fmt"
	"os"
)

const page = "docs/budgets.md"

func main() {
	write := flag.Bool("write", false, "replace the figures in "+page)
	flag.Parse()
	if err := run(*write); err != nil {
		fmt.Fprintln(os.Stderr, "budgets:", err)
		os.Exit(1)
	}
}

func run(write bool) error {
	var rows []row
	for range 3 { // memory that the runtime frees meanwhile hides a cost
		again, err := measureAll(20, 10)
		if err != nil {
			return err
		}
		rows = largest(rows, again)
	}
	if !write {
		_, err := fmt.Print(figures(rows), pools())
		return err
	}
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	next, err := replace(string(old), "figures", figures(rows))
	if err == nil {
		next, err = replace(next, "pools", pools())
	}
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(next), 0o666)
}

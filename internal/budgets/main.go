// Command budgets drives every type of frame at sessions and measures what comes of it: how many
// bytes a session keeps for each byte that its peer has sent, and how many allocations that
// takes.
//
//	go run ./internal/budgets           # prints the table
//	go run ./internal/budgets -write    # replaces the one in docs/budgets.md
//
// It is started at the top of the module. Its test holds sessions to the largest figures that
// the page states.
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
	rows, err := measureAll(20, 10)
	if err != nil {
		return err
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

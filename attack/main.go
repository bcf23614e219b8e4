// Command attack plays the attacks of SECURITY.md with a measurable cost on package spdy, and,
// where the same attack exists for them, on golang.org/x/net/http2 and github.com/moby/spdystream,
// and prints the cost to each.
//
//	go -C attack run .             # all of them, three rounds
//	go -C attack run . -only A4
//	go -C attack run . -write      # into docs/attacks.md
//
// Every victim is a separate process that serves with defaults on a loopback port and measures
// itself; a victim that dies is reported as a line of the table.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	only := flag.String("only", "", "play only the attack with this id")
	rounds := flag.Int("rounds", 3, "rounds, of which the medians are printed")
	write := flag.Bool("write", false, "put the table into docs/attacks.md")
	victim := flag.String("victim", "", "for internal use: be this victim")
	flag.Parse()
	if *victim != "" {
		exitOn(runVictim(*victim))
		return
	}
	chosen := slices.DeleteFunc(slices.Clone(attacks), func(a attack) bool { return *only != "" && !strings.EqualFold(a.id, *only) })
	if len(chosen) == 0 {
		exitOn(fmt.Errorf("there is no attack %q here", *only))
	}
	page := report(measure(chosen, max(*rounds, 1)), max(*rounds, 1))
	fmt.Print(page)
	if *write {
		exitOn(writePage("../docs/attacks.md", page))
	}
}

// strangers begins the section that another suite writes into the page, see tests/strangers.
const strangers = "\n## Strangers\n"

// writePage writes the table into the page at path, and leaves the rest unchanged.
func writePage(path, page string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if _, rest, found := strings.Cut(string(old), strangers); found {
		page += strangers + rest
	}
	return os.WriteFile(path, []byte(page), 0o666)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// Command attack plays the attacks of SECURITY.md that cost something on package spdy,
// and, where the same attack exists for them, on golang.org/x/net/http2 and
// github.com/moby/spdystream, and prints what each of them paid.
//
//	go -C attack run .             # all of them, three rounds
//	go -C attack run . -only A4
//	go -C attack run . -write      # into docs/attacks.md
//
// Every victim is a process of its own that serves with its defaults on a port of
// loopback and measures itself; one that dies is a line of the table.
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

// strangers begins what another suite has put into the page, see tests/strangers.
const strangers = "\n## Strangers\n"

// writePage puts the table into the page at a path, and leaves the rest as it is.
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

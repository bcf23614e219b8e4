package main

import (
	"fmt"
	"os"
	"strings"
)

// page is the part of docs/performance.md that is measured.
func (r *report) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians, rounds: %d (at most 3 of the crowds and of the long path), on %s.\n\n", r.Rounds, r.Machine)
	r.summary(&b)
	b.WriteString("\n")
	for _, c := range charts {
		fmt.Fprintf(&b, "![%s](img/%s)\n\n", c.title, c.file)
	}
	b.WriteString("### All figures\n\n")
	for _, w := range r.works() {
		fmt.Fprintf(&b, "**%s**\n\n", w.title)
		r.details(&b, w)
		b.WriteString("\n")
	}
	return b.String()
}

// rewrite replaces what is between the two comments "bench:NAME" and "bench:end" of a
// page.
func rewrite(page, name, text string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	out, err := replaced(string(old), name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(out), 0o666)
}

func replaced(page, name, text string) (string, error) {
	head, rest, ok := strings.Cut(page, "<!-- bench:"+name+" -->\n")
	if !ok {
		return "", fmt.Errorf("there is no place for %s", name)
	}
	_, tail, ok := strings.Cut(rest, "<!-- bench:end -->")
	if !ok {
		return "", fmt.Errorf("the place for %s does not end", name)
	}
	return head + "<!-- bench:" + name + " -->\n" + strings.TrimRight(text, "\n") + "\n<!-- bench:end -->" + tail, nil
}

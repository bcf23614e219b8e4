package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amahi/spdy"
)

// marks returns the lines before and after a generated part of the page.
func marks(part string) (begins, ends string) {
	return "<!-- budgets:" + part + " -->\n", "<!-- /budgets:" + part + " -->\n"
}

// bounds are the largest figures on the page, for each byte sent. They are the measured figures
// rounded up by at least a quarter, since heaps and schedules differ.
type bounds struct{ kept, allocs float64 }

// figures returns the text of the page between the marks.
func figures(rows []row) string {
	var b strings.Builder
	largest := boundsOf(rows)
	fmt.Fprintf(&b, boundFormat+"\n", largest.kept, largest.allocs)
	b.WriteString("| frame | what is sent | role | kept: spdy/2 | spdy/3 | spdy/3.1 | allocations: spdy/2 | spdy/3 | spdy/3.1 |\n")
	b.WriteString("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range []role{server, client} {
		for i := range inputs {
			if line := line(rows, r, &inputs[i]); line != "" {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// line returns the table line of an input, "" if the input was not measured.
func line(rows []row, r role, in *input) string {
	kept, allocs := []string{"", "", ""}, []string{"", "", ""}
	found := false
	for _, row := range rows {
		if row.input == in && row.role == r {
			found = true
			at := slices.Index(versions, row.version)
			kept[at], allocs[at] = rounded(row.kept), rounded(row.allocs)
		}
	}
	if !found {
		return ""
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", in.frame, in.what, r, strings.Join(kept, " | "), strings.Join(allocs, " | "))
}

// rounded formats f with two digits.
func rounded(f float64) string {
	if f >= 10 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.2g", max(f, 0.001))
}

// boundsOf returns the bounds that follow from the measurements.
func boundsOf(rows []row) (b bounds) {
	for _, row := range rows {
		b.kept, b.allocs = max(b.kept, row.kept), max(b.allocs, row.allocs)
	}
	b.kept = float64(int(b.kept*1.25/10)+1) * 10
	b.allocs = float64(int(b.allocs*1.25*10)+1) / 10
	return b
}

// pools returns the table of the default pools of a Server or a Transport.
func pools() string {
	stats := new(spdy.Transport).PoolStats()
	mib := func(u spdy.PoolUse) string { return fmt.Sprintf("%d MiB", u.Limit>>20) }
	return fmt.Sprintf(`| pool | default |
| --- | ---: |
| %[1]cPools.HeaderBytes%[1]c | %[2]s |
| %[1]cPools.UnreadBytes%[1]c | %[3]s |
| %[1]cPools.BufferBytes%[1]c | %[4]s |
| %[1]cPools.Handlers%[1]c | %[5]d |
`, '`', mib(stats.HeaderBytes), mib(stats.UnreadBytes), mib(stats.BufferBytes), stats.Handlers.Limit)
}

// replace replaces the text between the marks of a part of the page.
func replace(page, part, text string) (string, error) {
	begins, ends := marks(part)
	before, rest, ok := strings.Cut(page, begins)
	_, after, also := strings.Cut(rest, ends)
	if !ok || !also {
		return "", fmt.Errorf("the page has no marks %q and %q", begins, ends)
	}
	return before + begins + text + ends + after, nil
}

// generated returns the text between the marks of a part of the page.
func generated(page, part string) string {
	begins, ends := marks(part)
	_, rest, _ := strings.Cut(page, begins)
	text, _, _ := strings.Cut(rest, ends)
	return text
}

// boundFormat is the sentence with the bounds.
const boundFormat = "For each byte that its peer sends a session keeps at most %.0f bytes, and makes at most %.1f allocations.\n"

// stated returns the bounds stated on the page.
func stated(page string) (b bounds, err error) {
	scan := strings.NewReplacer("%.0f", "%f", "%.1f", "%f").Replace(boundFormat) // scanning supports no precision
	_, err = fmt.Sscanf(generated(page, "figures"), scan, &b.kept, &b.allocs)
	return b, err
}

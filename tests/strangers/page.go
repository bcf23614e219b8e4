package strangers

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Table returns a table for each name of ways: a row for each deed, a column for each library.
func Table(ways []Way, verdicts []Verdict) map[string]string {
	tables := make(map[string]string)
	for _, way := range ways {
		if _, done := tables[way.Name]; !done {
			tables[way.Name] = table(way.Name, ways, verdicts)
		}
	}
	return tables
}

func table(name string, ways []Way, verdicts []Verdict) string {
	var b strings.Builder
	var libraries []string
	for _, way := range ways {
		if way.Name == name {
			libraries = append(libraries, way.Library)
		}
	}
	fmt.Fprintf(&b, "| a stranger … | %s |\n| --- |%s\n", strings.Join(libraries, " | "), strings.Repeat(" --- |", len(libraries)))
	for _, deed := range Deeds() {
		fmt.Fprintf(&b, "| %s |", deed.Name)
		for _, library := range libraries {
			at := slices.IndexFunc(verdicts, func(v Verdict) bool {
				return v.Deed == deed.Name && v.Way == name && v.Library == library
			})
			if at < 0 {
				b.WriteString(" – |")
				continue
			}
			fmt.Fprintf(&b, " %s |", verdicts[at])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Markers returns the lines of the page around the table of a way.
func Markers(way string) (begin, end string) {
	return fmt.Sprintf("<!-- strangers: %s -->\n", way), fmt.Sprintf("<!-- end of %s -->\n", way)
}

// WritePage writes tables, by name of way, between the markers of the page at path.
func WritePage(path string, tables map[string]string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page := string(text)
	for name, table := range tables {
		begin, end := Markers(name)
		before, rest, found := strings.Cut(page, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			return fmt.Errorf("%s has no place for %q", path, name)
		}
		page = before + begin + table + end + after
	}
	return os.WriteFile(path, []byte(page), 0o666)
}

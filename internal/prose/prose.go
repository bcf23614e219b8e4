// Package prose counts words in comments and pages that replace a noun or a verb of the field. Text
// with many of them has to be read twice: it does not name the stream, the peer or the frame.
package prose

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// A Group is a set of words with a limit.
type Group struct {
	Words []string // lower case
	Limit float64  // occurrences per 10,000 words
}

// Counts are the occurrences of groups in a text.
type Counts struct {
	Words int
	Of    []int // by group
}

// Per10000 returns the occurrences of a group per 10,000 words; 0 for an empty text.
func (c Counts) Per10000(group int) float64 {
	if c.Words == 0 {
		return 0
	}
	return float64(c.Of[group]) / float64(c.Words) * 10_000
}

func (c *Counts) add(other Counts) {
	c.Words += other.Words
	for i, n := range other.Of {
		c.Of[i] += n
	}
}

var word = regexp.MustCompile(`[\pL][\pL'’-]*`)

// Text counts the groups in a text.
func Text(groups []Group, text string) Counts {
	c := Counts{Of: make([]int, len(groups))}
	for _, w := range word.FindAllString(text, -1) {
		c.Words++
		w = strings.ToLower(w)
		for i, g := range groups {
			for _, of := range g.Words {
				if w == of {
					c.Of[i]++
				}
			}
		}
	}
	return c
}

// Tree counts the groups in all comments of Go files and in all pages (*.md) of a tree, and in each
// file. Tests, folders named testdata, and folders whose names begin with a dot are left out.
func Tree(groups []Group, tree fs.FS) (all Counts, files map[string]Counts, err error) {
	all, files = Counts{Of: make([]int, len(groups))}, make(map[string]Counts)
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base == "testdata" || len(base) > 1 && base[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		var text func([]byte) string
		switch {
		case strings.HasSuffix(name, "_test.go"):
			return nil
		case path.Ext(name) == ".go":
			text = comments
		case path.Ext(name) == ".md":
			text = page
		default:
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		files[name] = Text(groups, text(content))
		all.add(files[name])
		return nil
	})
	return all, files, err
}

// comments returns the comments of a Go file without directives.
func comments(source []byte) string {
	var (
		b    strings.Builder
		s    scanner.Scanner
		set  = token.NewFileSet()
		file = set.AddFile("", set.Base(), len(source))
	)
	s.Init(file, source, nil, scanner.ScanComments)
	for {
		_, t, text := s.Scan()
		switch {
		case t == token.EOF:
			return b.String()
		case t == token.COMMENT && !strings.HasPrefix(text, "//go:"):
			b.WriteString(text + "\n")
		}
	}
}

// code are parts of a page that are not prose: names in backticks and the targets of links.
var code = regexp.MustCompile("`[^`]*`" + `|\]\([^)]*\)`)

// page returns the prose of a page, without fences and tables.
func page(source []byte) string {
	var b strings.Builder
	fenced := false
	for line := range strings.Lines(string(source)) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced, strings.HasPrefix(line, "|"), strings.HasPrefix(line, "    "):
		default:
			b.WriteString(code.ReplaceAllString(line, " "))
		}
	}
	return b.String()
}

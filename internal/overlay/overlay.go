// Package overlay changes source files for a single build: it edits copies, and lists the copies
// for the go command's -overlay. The originals stay as they are.
package overlay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An Edit replaces a text that occurs exactly once in a file, or at least once if All is set.
type Edit struct {
	File     string // relative to the root
	Old, New string // the first line of Old identifies the position in error messages
	All      bool
}

// A MismatchError reports that an edit does not match its file.
type MismatchError struct {
	File, Text string
	Count      int // occurrences of Text
}

// Error names the file and the first line of the text.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s has %q %d times", e.File, e.Text, e.Count)
}

// Apply returns the new texts of the edited files, by the names in the edits. Edits of the same file
// apply in order.
func Apply(root string, edits []Edit) (map[string]string, error) {
	texts := make(map[string]string)
	for _, e := range edits {
		if _, ok := texts[e.File]; !ok {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, err
			}
			texts[e.File] = string(text)
		}
		if n := strings.Count(texts[e.File], e.Old); n == 0 || n > 1 && !e.All {
			first, _, _ := strings.Cut(e.Old, "\n")
			return nil, &MismatchError{e.File, first, n}
		}
		texts[e.File] = strings.ReplaceAll(texts[e.File], e.Old, e.New)
	}
	return texts, nil
}

// Write writes the texts into dir, and returns the argument for -overlay. The names of the files are
// absolute, or relative to root; a file without an original is added to its package.
func Write(dir, root string, texts map[string]string) (string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	var list struct{ Replace map[string]string }
	list.Replace = make(map[string]string)
	for file, text := range texts {
		path := filepath.FromSlash(file)
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		copied := filepath.Join(dir, fmt.Sprintf("%d_%s", len(list.Replace), filepath.Base(path)))
		if err := os.WriteFile(copied, []byte(text), 0o666); err != nil {
			return "", err
		}
		list.Replace[path] = copied
	}
	content, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, content, 0o666)
}

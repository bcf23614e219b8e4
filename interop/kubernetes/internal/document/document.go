// Package document writes results into a page between two marks, so that prose and
// measurements can stand on one page.
package document

import (
	"bytes"
	"fmt"
	"os"
)

// marks are the lines around the section of a name.
func marks(name string) (begin, end []byte) {
	return fmt.Appendf(nil, "<!-- begin %s -->\n", name), fmt.Appendf(nil, "<!-- end %s -->\n", name)
}

// Section is what the page has between the marks of a name.
func Section(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	_, section, _, err := split(path, name, text)
	return string(section), err
}

// Write replaces what the page has between the marks of a name.
func Write(path, name, section string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, _, after, err := split(path, name, text)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Join([][]byte{before, []byte(section), after}, nil), 0o644)
}

// split cuts a page in three. The marks stay with the first and the third.
func split(path, name string, text []byte) (before, section, after []byte, err error) {
	begin, end := marks(name)
	i := bytes.Index(text, begin)
	j := bytes.Index(text, end)
	if i < 0 || j < i+len(begin) {
		return nil, nil, nil, fmt.Errorf("%s has no section %q", path, name)
	}
	i += len(begin)
	return text[:i:i], text[i:j:j], text[j:], nil
}

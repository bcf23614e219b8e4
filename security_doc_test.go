package spdy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// attackTests are the attack tests that there are in the module, by their names.
func attackTests(t *testing.T) map[string]bool {
	t.Helper()
	tests := make(map[string]bool)
	test := regexp.MustCompile(`(?m)^func (TestAttack\w+)\(t \*testing\.T\)`)
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if path == filepath.Join("internal", "disarm") {
			return filepath.SkipDir // whose tests have tests in them
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range test.FindAllStringSubmatch(readFile(t, path), -1) {
			tests[m[1]] = true
		}
		return nil
	})
	require.NoError(t, err)
	return tests
}

// What SECURITY.md promises is there: each attack has a row, each row a test that exists
// and limits that do, and no attack test is missing.
func TestSecurityPage(t *testing.T) {
	page, tests, c := readFile(t, "SECURITY.md"), attackTests(t), readCode(t)
	rows := regexp.MustCompile(`(?m)^\| (A\d+|CVE-[\d-]+) \|.*$`).FindAllStringSubmatch(page, -1)
	attack := 0
	for _, row := range rows {
		named := regexp.MustCompile("`(TestAttack\\w+)`").FindAllStringSubmatch(row[0], -1)
		require.NotEmpty(t, named, row[1])
		if strings.HasPrefix(row[1], "A") {
			attack++
			require.Equal(t, "A"+strconv.Itoa(attack), row[1], "in order, and none left out")
		}
		for _, m := range named {
			require.True(t, tests[m[1]], "there is no %s", m[1])
			if row[1][0] == 'A' {
				require.Regexp(t, "^TestAttack"+row[1]+"[A-Z]", m[1])
			}
		}
		for _, m := range regexp.MustCompile("`(Config\\.\\w+)`").FindAllStringSubmatch(row[0], -1) {
			require.True(t, c.known[m[1]], "there is no %s", m[1])
		}
	}
	require.Equal(t, 31, attack)
	id := regexp.MustCompile(`^TestAttackA\d`)
	for name := range tests {
		if id.MatchString(name) {
			require.Contains(t, page, "`"+name+"`")
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(page, -1) {
		require.FileExists(t, m[1])
	}
	require.Contains(t, readFile(t, "README.md"), "(SECURITY.md)")
}

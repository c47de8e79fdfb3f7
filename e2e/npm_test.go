package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// npmInstall makes npm install the locked packages, unless they are there already.
var npmInstall = sync.OnceValue(func() error {
	wanted, err := versions("package-lock.json")
	if err != nil {
		return err
	}
	there, err := versions(filepath.Join("node_modules", ".package-lock.json"))
	if err == nil && maps.Equal(there, wanted) {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("e2e: npm is not installed: apt-get install npm")
	}
	if out, err := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		return fmt.Errorf("e2e: npm ci: %w\n%s", err, out)
	}
	return nil
})

// versions returns the versions of the packages in a lock file.
func versions(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	err = json.Unmarshal(data, &lock)
	all := make(map[string]string)
	for name, p := range lock.Packages {
		if name != "" { // this package
			all[name] = p.Version
		}
	}
	return all, err
}

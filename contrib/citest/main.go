// Command citest runs the tests with the race detector, and ends with a line
// that counts them: passed, failed, skipped. It names what the machine lacks,
// each test that failed with its output, and each that was skipped with its
// reason.
//
//	go run ./contrib/citest [packages]
//
// The environment variable CI=true makes a skipped test, and a machine that
// lacks something, an error.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	if err := run(packages, os.Getenv("CI") == "true"); err != nil {
		fmt.Fprintln(os.Stderr, "citest:", err)
		os.Exit(1)
	}
}

// need is something that tests use.
type need struct {
	program string
	install string // what to install on Debian
	why     string
}

var needs = []need{
	{"gcc", "gcc libc6-dev", "for the race detector"},
	{"ulogd", "ulogd2 ulogd2-dbi ulogd2-json ulogd2-mysql ulogd2-pcap ulogd2-pgsql ulogd2-sqlite3 libdbd-mysql libdbd-pgsql", "to compare its output with ours"},
	{"psql", "postgresql", "for rows in PostgreSQL"},
	{"mariadbd", "mariadb-server", "for rows in MariaDB"},
	{"nfcapd", "nfdump", "to read what IPFIX sends"},
	{"tshark", "tshark", "to read what IPFIX sends"},
}

func run(packages []string, ci bool) error {
	lacking := lacks(needs, exec.LookPath)
	if os.Geteuid() != 0 {
		lacking = append(lacking, "root, to make network namespaces; run the tests as root")
	}
	for _, text := range lacking {
		fmt.Println("missing:", text)
	}
	if ci && len(lacking) > 0 {
		return errors.New("CI=true, and the machine lacks what is named above")
	}
	c, err := test(packages)
	fmt.Println(c)
	switch {
	case c.failed > 0:
		return errors.New("tests failed")
	case err != nil:
		return err
	case ci && c.skipped > 0:
		return errors.New("CI=true, and tests were skipped")
	}
	return nil
}

// lacks says which of the programs are not there, and what to do about it.
func lacks(needs []need, find func(string) (string, error)) (list []string) {
	for _, n := range needs {
		if _, err := find(n.program); err != nil {
			list = append(list, fmt.Sprintf("%s, %s; on Debian: apt-get install %s", n.program, n.why, n.install))
		}
	}
	return list
}

// test runs the tests and reads what they say.
func test(packages []string) (counts, error) {
	args := []string{"test", "-json", "-count=1", "-timeout=12m"}
	env := os.Environ()
	if _, err := exec.LookPath("gcc"); err == nil {
		args, env = append(args, "-race"), append(env, "CGO_ENABLED=1")
	}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Stderr, cmd.Env = os.Stderr, env
	out, err := cmd.StdoutPipe()
	if err != nil {
		return counts{}, err
	}
	if err := cmd.Start(); err != nil {
		return counts{}, err
	}
	c, err := summarize(out, os.Stdout)
	if err != nil {
		// The tests must not wait for a reader that has given up.
		_, _ = io.Copy(io.Discard, out)
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return c, fmt.Errorf("go test: %w", err)
	}
	return c, nil
}

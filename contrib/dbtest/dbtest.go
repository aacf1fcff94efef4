// Package dbtest starts database servers for tests: on a unix socket in a
// temporary directory, with default durability, and without a TCP port.
package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // used through database/sql
)

// Engine is a kind of server.
type Engine string

// The engines.
const (
	PostgreSQL Engine = "postgres"
	MySQL      Engine = "mysql" // MariaDB, if that is what is installed
)

// Server is a database server of this test binary. Tests share it.
type Server struct {
	Engine Engine
	Dir    string // of its data and its socket
	Socket string // path of the socket; for PostgreSQL of its directory

	account *syscall.Credential // the user that it runs as; nil for our own
	network []string            // arguments that make it listen by TCP, too
	mu      sync.Mutex
	cmd     *exec.Cmd
	exited  chan struct{}
}

// servers are those of this process, by engine.
type servers struct {
	mu   sync.Mutex
	list map[Engine]*Server
	err  map[Engine]error
}

var running = servers{list: map[Engine]*Server{}, err: map[Engine]error{}}

// Main runs the tests of a package and ends the servers. Call it in TestMain.
func Main(m *testing.M) {
	_ = mysql.SetLogger(log.New(io.Discard, "", 0)) // of servers that were ended on purpose
	code := m.Run()
	running.mu.Lock()
	defer running.mu.Unlock()
	for _, s := range running.list {
		s.stop(syscall.SIGKILL)
		_ = os.RemoveAll(s.Dir) // in the temporary directory anyway
	}
	os.Exit(code)
}

// Get is the server of that engine, which is started for the first test that asks.
// The test is skipped if there is none on this machine.
func Get(t testing.TB, e Engine) *Server {
	t.Helper()
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.list[e] == nil && running.err[e] == nil {
		running.list[e], running.err[e] = start(e)
	}
	if err := running.err[e]; errors.Is(err, exec.ErrNotFound) {
		t.Skipf("NOT TESTED: no %s server on this machine: %v (install postgresql and mariadb-server)", e, err)
	} else if err != nil {
		t.Fatal(err)
	}
	return running.list[e]
}

func start(e Engine) (*Server, error) {
	dir, err := os.MkdirTemp("", "dbtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{Engine: e, Dir: dir, Socket: dir}
	account := "postgres"
	if e == MySQL {
		s.Socket, account = filepath.Join(dir, "sock"), "mysql"
	}
	if os.Geteuid() == 0 {
		if s.account, err = credential(account); err != nil {
			return nil, fmt.Errorf("%w: %w", exec.ErrNotFound, err)
		}
		if err := os.Chown(dir, int(s.account.Uid), int(s.account.Gid)); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	if err = s.initialise(); err == nil {
		err = s.Start()
	}
	return s, err
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// find is the path of a program of a server. DBTEST_BIN may name the folder of
// those of another version: of mysqld and mysql for MySQL, which then is tested in the
// place of MariaDB. Scripts that start programs of another system do.
func find(names ...string) (string, error) {
	for _, name := range names {
		if path := filepath.Join(os.Getenv("DBTEST_BIN"), name); filepath.IsAbs(path) {
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
	}
	var err error
	for _, name := range names {
		paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
		if len(paths) > 0 {
			return paths[len(paths)-1], nil
		}
		for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
			var path string
			if path, err = exec.LookPath(dir + name); err == nil {
				return path, nil
			}
		}
	}
	return "", err
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

func (s *Server) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "HOME="+s.Dir, "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (s *Server) initialise() error {
	var cmd *exec.Cmd
	if s.Engine == PostgreSQL {
		path, err := find("initdb")
		if err != nil {
			return err
		}
		cmd = s.command(path, "-D", s.data(), "-A", "scram-sha-256", "-U", "postgres", "-E", "UTF8", "--no-sync", "--pwfile="+filepath.Join(s.Dir, "password"))
		if err := os.WriteFile(filepath.Join(s.Dir, "password"), []byte("secret\n"), 0o644); err != nil {
			return err
		}
	} else {
		path, err := find("mariadbd", "mysqld")
		if err != nil {
			return err
		}
		cmd = s.command(path, "--no-defaults", "--initialize-insecure", "--datadir="+s.data())
		if filepath.Base(path) == "mariadbd" {
			if path, err = find("mariadb-install-db"); err != nil {
				return err
			}
			cmd = s.command(path, "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal", "--skip-test-db")
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Path, err, out)
	}
	return nil
}

// Start starts the server after Stop or Kill, and waits until it answers.
func (s *Server) Start() error {
	cmd, err := s.server()
	if err != nil {
		return err
	}
	output, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	s.mu.Lock()
	defer s.mu.Unlock()
	exited, started := make(chan struct{}), make(chan error)
	go func() {
		// The server is to end with us, but the system takes the end of the
		// thread that has started it for that.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is ended by a signal
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.exited = cmd, exited
	return s.await(exited)
}

func (s *Server) server() (*exec.Cmd, error) {
	if s.Engine == PostgreSQL {
		path, err := find("postgres")
		if err != nil {
			return nil, err
		}
		return s.command(path, append([]string{"-D", s.data(), "-k", s.Dir, "-c", "listen_addresses="}, s.network...)...), nil
	}
	path, err := find("mariadbd", "mysqld")
	if err != nil {
		return nil, err
	}
	network := s.network
	if network == nil {
		network = []string{"--skip-networking"}
		if filepath.Base(path) == "mysqld" {
			network = append(network, "--tls-version=") // it has a certificate of its own making
		}
	}
	return s.command(path, append([]string{"--no-defaults", "--datadir=" + s.data(), "--socket=" + s.Socket,
		"--pid-file=" + filepath.Join(s.Dir, "pid"), "--character-set-server=utf8mb4",
		// MySQL has a binary log by default, for which only administrators may make functions.
		"--log-bin-trust-function-creators=1"}, network...)...), nil
}

// startTime is how long a server may take, recovery from a crash included.
const startTime = 60 * time.Second

func (s *Server) await(exited chan struct{}) error {
	db, err := s.open("")
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, stop := context.WithTimeout(context.Background(), startTime)
	defer stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			output, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			return fmt.Errorf("%s ended: %w\n%s", s.Engine, err, output)
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", s.Engine, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// open is a pool of connections of the server's administrator.
func (s *Server) open(database string) (*sql.DB, error) {
	if s.Engine == PostgreSQL {
		if database == "" {
			database = "postgres"
		}
		return sql.Open("pgx", fmt.Sprintf("host='%s' user=postgres password=secret dbname=%s", s.Dir, database))
	}
	return sql.Open("mysql", fmt.Sprintf("root@unix(%s)/%s?multiStatements=true", s.Socket, database))
}

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.stop(syscall.SIGKILL) }

// Stop ends the server in order, whoever is connected.
func (s *Server) Stop() {
	if s.Engine == PostgreSQL {
		s.stop(syscall.SIGINT)
		return
	}
	s.stop(syscall.SIGTERM)
}

// Freeze stops the server's processes until Thaw, so that it is there and does not
// answer.
func (s *Server) Freeze() { s.all(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.all(syscall.SIGCONT) }

func (s *Server) stop(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	if sig == syscall.SIGKILL {
		s.killAll()
	} else {
		_ = s.cmd.Process.Signal(sig) // it may have ended by itself
	}
	<-s.exited
	s.cmd = nil
}

// killAll kills the server and its children: PostgreSQL's would go on for a while,
// and keep the data from being used.
func (s *Server) killAll() {
	pids := s.pids()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range pids[1:] {
		for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) // polls
		}
	}
}

func (s *Server) all(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pid := range s.pids() {
		_ = syscall.Kill(pid, sig)
	}
}

// pids are the server's process and its children.
func (s *Server) pids() []int {
	pids := []int{s.cmd.Process.Pid}
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0]))
	for _, field := range fields(list) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

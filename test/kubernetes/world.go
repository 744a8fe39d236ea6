package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"genrec/pkg/testservers"
	"genrec/test/harness"
)

// world is a cluster, and a folder in which lines for it are typed.
type world struct {
	cluster *testservers.Kubernetes
	root    string // of the project
	folder  string
	env     []string
}

func newWorld(ctx context.Context, s settings, folder string) (*world, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	w := &world{root: root, folder: filepath.Join(folder, "clone")}
	servers := filepath.Join(folder, "servers")
	if err := errors.Join(
		os.Mkdir(servers, 0o700), os.Mkdir(w.folder, 0o700),
		os.Symlink(filepath.Join(root, "deploy"), filepath.Join(w.folder, "deploy")), // the lines name files of the project
		os.MkdirAll(s.logs, 0o755),
	); err != nil {
		return nil, err
	}
	w.cluster, err = testservers.StartKubernetes(ctx, testservers.KubernetesConfig{Programs: s.programs, Folder: servers, Logs: s.logs})
	if err != nil {
		return nil, err
	}
	path := strings.Join([]string{s.programs, filepath.Join(s.tools, "bin"), os.Getenv("PATH")}, string(os.PathListSeparator))
	// helm and kubectl keep things under HOME.
	w.env = append(os.Environ(), "KUBECONFIG="+w.cluster.Kubeconfig(), "PATH="+path, "HOME="+folder)
	if err := w.furnish(ctx, filepath.Join(s.tools, "keda")); err != nil {
		w.cluster.Close()
		return nil, err
	}
	return w, nil
}

// furnish gives the cluster what somebody's cluster has: nodes, storage and KEDA's resources.
func (w *world) furnish(ctx context.Context, keda string) error {
	for _, line := range []string{
		"kubectl create -f " + keda,
		"kubectl create -f " + w.fixtures("cluster"),
		"kubectl wait --for=condition=Established --timeout=60s crd --all",
		"kubectl wait --for=condition=Ready --timeout=60s node --all",
	} {
		if _, err := w.run(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// run types a line. Whatever a program says beside what it prints is a mistake: the warnings
// of the API server are there.
func (w *world) run(ctx context.Context, line string) (printed string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", line)
	command.Dir, command.Env = w.folder, w.env
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to end what it has started, too
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	err = command.Run()
	said := strings.TrimSpace(complaints.String())
	if err == nil && said != "" {
		err = errors.New("it warns")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", line, err, said)
	}
	return out.String(), nil
}

// fixtures is the file of what a part of the story finds in the cluster.
func (w *world) fixtures(name string) string {
	return filepath.Join(w.root, "test/kubernetes/testdata", name+".yaml")
}

// write puts a file into the folder.
func (w *world) write(name, text string) error {
	return os.WriteFile(filepath.Join(w.folder, name), []byte(text), 0o600)
}

// get returns the objects of a namespace that are of some kinds.
func (w *world) get(ctx context.Context, namespace, kinds string) (objects, error) {
	printed, err := w.run(ctx, "kubectl get --output json --namespace "+namespace+" "+kinds)
	if err != nil {
		return nil, err
	}
	var list struct{ Items objects }
	if err := json.Unmarshal([]byte(printed), &list); err != nil {
		return nil, fmt.Errorf("read what kubectl prints of %s: %w", kinds, err)
	}
	return list.Items, nil
}

// await asks until there is nothing more to wait for, and returns what there still is when
// it takes too long.
func await(ctx context.Context, what string, missing func(context.Context) error) error {
	return harness.Eventually(ctx, what, 90*time.Second, missing)
}

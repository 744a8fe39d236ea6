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

// environment is a cluster and a working folder for shell commands.
type environment struct {
	cluster *testservers.Kubernetes
	root    string // of the repository
	folder  string
	env     []string
}

func newEnvironment(ctx context.Context, s settings, folder string) (*environment, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	env := &environment{root: root, folder: filepath.Join(folder, "clone")}
	servers := filepath.Join(folder, "servers")
	if err := errors.Join(
		os.Mkdir(servers, 0o700), os.Mkdir(env.folder, 0o700),
		os.Symlink(filepath.Join(root, "deploy"), filepath.Join(env.folder, "deploy")), // for the paths in the commands
		os.MkdirAll(s.logs, 0o755),
	); err != nil {
		return nil, err
	}
	env.cluster, err = testservers.StartKubernetes(ctx, testservers.KubernetesConfig{Programs: s.programs, Folder: servers, Logs: s.logs})
	if err != nil {
		return nil, err
	}
	path := strings.Join([]string{s.programs, filepath.Join(s.tools, "bin"), os.Getenv("PATH")}, string(os.PathListSeparator))
	// helm and kubectl write to HOME.
	env.env = append(os.Environ(), "KUBECONFIG="+env.cluster.Kubeconfig(), "PATH="+path, "HOME="+folder)
	if err := env.addCluster(ctx, filepath.Join(s.tools, "keda")); err != nil {
		env.cluster.Close()
		return nil, err
	}
	return env, nil
}

// addCluster creates nodes, a storage class and the custom resources of KEDA.
func (env *environment) addCluster(ctx context.Context, keda string) error {
	for _, line := range []string{
		"kubectl create -f " + keda,
		"kubectl create -f " + env.fixtures("cluster"),
		"kubectl wait --for=condition=Established --timeout=60s crd --all",
		"kubectl wait --for=condition=Ready --timeout=60s node --all",
	} {
		if _, err := env.run(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// run runs a line in a shell and returns its output. Output on stderr is an error: kubectl prints the
// warnings of the API server there.
func (env *environment) run(ctx context.Context, line string) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", line)
	command.Dir, command.Env = env.folder, env.env
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to kill its children, too
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	warnings := strings.TrimSpace(stderr.String())
	if err == nil && warnings != "" {
		err = errors.New("it printed warnings")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", line, err, warnings)
	}
	return stdout.String(), nil
}

// fixtures returns the file of the resources that a part of the test needs.
func (env *environment) fixtures(name string) string {
	return filepath.Join(env.root, "test/kubernetes/testdata", name+".yaml")
}

// write puts a file into the folder.
func (env *environment) write(name, text string) error {
	return os.WriteFile(filepath.Join(env.folder, name), []byte(text), 0o600)
}

// get returns the objects of some kinds in a namespace.
func (env *environment) get(ctx context.Context, namespace, kinds string) (objects, error) {
	printed, err := env.run(ctx, "kubectl get --output json --namespace "+namespace+" "+kinds)
	if err != nil {
		return nil, err
	}
	var list struct{ Items objects }
	if err := json.Unmarshal([]byte(printed), &list); err != nil {
		return nil, fmt.Errorf("decode the output of kubectl get %s: %w", kinds, err)
	}
	return list.Items, nil
}

// await polls until check returns nil, and returns its last error after a timeout.
func await(ctx context.Context, what string, check func(context.Context) error) error {
	return harness.Eventually(ctx, what, 90*time.Second, check)
}

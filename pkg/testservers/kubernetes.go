package testservers

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// KubernetesConfig configures a Kubernetes control plane.
type KubernetesConfig struct {
	Programs string // folder that deploy/kubernetes/setup.sh prints
	Folder   string // data and certificates
	Logs     string // folder for the log of each program
}

// Kubernetes is a control plane: etcd, API server, controller manager and scheduler. kwok simulates
// the nodes: it reports pods as running, and pods of jobs as succeeded, without running containers.
// Every namespace enforces the restricted Pod Security Standard.
type Kubernetes struct {
	cfg       KubernetesConfig
	etcd, api string // addresses
	tls       TLS
	servers   []*server
}

// Users of the API. Kubernetes has built-in roles for the last two.
const (
	admin     = "admin"
	manager   = "system:kube-controller-manager"
	scheduler = "system:kube-scheduler"
)

// StartKubernetes starts a control plane. The caller must Close it.
func StartKubernetes(ctx context.Context, cfg KubernetesConfig) (*Kubernetes, error) {
	k := &Kubernetes{cfg: cfg}
	var err error
	if k.etcd, err = FreeAddress(); err != nil {
		return nil, err
	}
	if k.api, err = FreeAddress(); err != nil {
		return nil, err
	}
	if err := k.configure(); err != nil {
		return nil, fmt.Errorf("configure Kubernetes in %s: %w", cfg.Folder, err)
	}
	if err := k.start(ctx); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (k *Kubernetes) file(name string) string { return filepath.Join(k.cfg.Folder, name) }

// configure writes certificates, tokens, kubeconfigs and the admission configuration.
func (k *Kubernetes) configure() error {
	authority, err := NewAuthority(k.cfg.Folder)
	if err != nil {
		return err
	}
	if k.tls, err = authority.Issue("kube-apiserver"); err != nil {
		return err
	}
	var tokens strings.Builder
	for user, group := range map[string]string{admin: "system:masters", manager: "", scheduler: ""} {
		token := rand.Text()
		fmt.Fprintf(&tokens, "%s,%s,%s,%s\n", token, user, user, group)
		config, err := k.encodeKubeconfig(user, token)
		if err != nil {
			return err
		}
		if err := os.WriteFile(k.kubeconfig(user), config, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(k.file("tokens.csv"), []byte(tokens.String()), 0o600),
		os.WriteFile(k.file("admission.yaml"), []byte(restricted), 0o600),
	)
}

const restricted = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: PodSecurity
    configuration:
      apiVersion: pod-security.admission.config.k8s.io/v1
      kind: PodSecurityConfiguration
      defaults: {enforce: restricted, enforce-version: latest, warn: restricted, warn-version: latest}
`

// Kubeconfig returns the file of the cluster administrator.
func (k *Kubernetes) Kubeconfig() string { return k.kubeconfig(admin) }

func (k *Kubernetes) kubeconfig(user string) string {
	return k.file(strings.TrimPrefix(user, "system:") + ".kubeconfig")
}

// encodeKubeconfig returns the content of a user's kubeconfig.
func (k *Kubernetes) encodeKubeconfig(user, token string) ([]byte, error) {
	type object map[string]any
	return json.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": []object{{"name": "test", "cluster": object{"server": "https://" + k.api, "certificate-authority": k.tls.CA}}},
		"users":    []object{{"name": user, "user": object{"token": token}}},
		"contexts": []object{{"name": "test", "context": object{"cluster": "test", "user": user}}},
	})
}

func (k *Kubernetes) start(ctx context.Context) error {
	_, port, err := net.SplitHostPort(k.api)
	if err != nil {
		return err
	}
	etcd, peers := "http://"+k.etcd, "unix://"+k.file("etcd.sock")
	if err := k.run("etcd", "--data-dir", k.file("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers); err != nil {
		return err
	}
	if err := k.run("kube-apiserver", "--etcd-servers", etcd,
		"--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", port, "--tls-cert-file", k.tls.Cert, "--tls-private-key-file", k.tls.Key,
		"--client-ca-file", k.tls.CA, "--token-auth-file", k.file("tokens.csv"), "--authorization-mode", "RBAC",
		"--admission-control-config-file", k.file("admission.yaml"),
		"--service-account-issuer", "https://"+k.api, "--service-account-key-file", k.tls.Cert, "--service-account-signing-key-file", k.tls.Key,
		"--service-cluster-ip-range", "10.96.0.0/16", "--endpoint-reconciler-type", "none"); err != nil {
		return err
	}
	if err := k.servers[len(k.servers)-1].awaitReady(ctx, "the API server of Kubernetes", k.ready); err != nil {
		return err
	}
	return errors.Join(
		k.run("kube-controller-manager", "--kubeconfig", k.kubeconfig(manager), "--secure-port", "0", "--leader-elect=false",
			"--use-service-account-credentials", "--service-account-private-key-file", k.tls.Key, "--root-ca-file", k.tls.CA),
		k.run("kube-scheduler", "--kubeconfig", k.kubeconfig(scheduler), "--secure-port", "0", "--leader-elect=false"),
		k.run("kwok", "--kubeconfig", k.Kubeconfig(), "--config", filepath.Join(k.cfg.Programs, "stages.yaml"),
			"--manage-all-nodes", "--node-lease-duration-seconds", "40"),
	)
}

// run starts a program of the control plane.
func (k *Kubernetes) run(name string, flags ...string) error {
	server, err := startServer(filepath.Join(k.cfg.Logs, name+".log"), append([]string{filepath.Join(k.cfg.Programs, name)}, flags...)...)
	if err == nil {
		k.servers = append(k.servers, server)
	}
	return err
}

func (k *Kubernetes) ready(ctx context.Context) error {
	ca, err := os.ReadFile(k.tls.CA)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+k.api+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is %s", request.URL, answer.Status)
	}
	return nil
}

// Failed returns an error with the programs that have ended and the end of their logs.
func (k *Kubernetes) Failed() (err error) {
	for _, server := range k.servers {
		if ended := server.Failed(); ended != nil {
			err = errors.Join(err, fmt.Errorf("%w\n%s", ended, server.lastOutput()))
		}
	}
	return err
}

// Close ends the control plane.
func (k *Kubernetes) Close() {
	for _, server := range slices.Backward(k.servers) {
		server.Kill()
	}
}

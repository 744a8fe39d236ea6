package main

import (
	"errors"
	"fmt"
	"strings"
)

// release is a Helm release.
type release struct {
	name, namespace string
	tag             string // expected image tag
}

// kinds are the kinds of objects in a release, and of those that controllers create for it.
const kinds = "deployments,pods,poddisruptionbudgets,services,endpointslices,networkpolicies,cronjobs,jobs," +
	"persistentvolumeclaims,horizontalpodautoscalers,scaledobjects,triggerauthentications,serviceaccounts,secrets"

// resource returns the name of a component's resources.
func (r release) resource(component string) string {
	if strings.Contains(r.name, "genrec") {
		return r.name + "-" + component
	}
	return r.name + "-genrec-" + component
}

// check returns an error for each difference from docs/DEPLOY.md.
func (r release) check(all objects) (err error) {
	for _, component := range []string{"ingest", "infer", "serve"} {
		err = errors.Join(err, r.checkService(all, component))
	}
	ready := 0
	for _, slice := range all.of("EndpointSlice").with("kubernetes.io/service-name", r.resource("serve")) {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready && len(slice.Ports) == 1 && slice.Ports[0].Port == 8080 {
				ready++
			}
		}
	}
	if serve, _ := all.named("Deployment", r.resource("serve")); ready != serve.Spec.Replicas {
		err = errors.Join(err, fmt.Errorf("service %s has %d ready endpoints at port 8080, want %d", r.resource("serve"), ready, serve.Spec.Replicas))
	}
	for _, component := range []string{"retrain", "prune"} {
		if _, found := all.named("CronJob", r.resource(component)); !found {
			err = errors.Join(err, fmt.Errorf("there is no CronJob %s", r.resource(component)))
		}
	}
	for _, p := range all.of("Pod") {
		err = errors.Join(err, checkPod(all, p))
	}
	return errors.Join(err, checkScaling(all))
}

// checkService checks the pods of a Deployment and their PodDisruptionBudget.
func (r release) checkService(all objects, component string) error {
	name := r.resource(component)
	d, found := all.named("Deployment", name)
	if !found {
		return fmt.Errorf("there is no Deployment %s", name)
	}
	if c := d.condition("ReplicaFailure"); c.Status == "True" {
		return fmt.Errorf("the pods of %s are refused: %s", name, c.Message)
	}
	pods := all.of("Pod").with("app.kubernetes.io/component", component)
	if len(pods) != d.Spec.Replicas || !d.isTrue("Available") {
		return fmt.Errorf("%s has %d pods, want %d: %s", name, len(pods), d.Spec.Replicas, d.condition("Progressing").Message)
	}
	nodes := make(map[string]bool)
	for _, p := range pods {
		nodes[p.Spec.NodeName] = true
		for _, c := range p.Spec.Containers {
			if !strings.Contains(c.Image+"-", ":"+r.tag+"-") {
				return fmt.Errorf("%s runs %s, want the tag %s", p, c.Image, r.tag)
			}
		}
	}
	if len(nodes) != len(pods) {
		return fmt.Errorf("the %d pods of %s are on %d nodes, want one on each", len(pods), name, len(nodes))
	}
	budget, _ := all.named("PodDisruptionBudget", name)
	if budget.Status.ExpectedPods != len(pods) || budget.Status.DisruptionsAllowed != 1 {
		return fmt.Errorf("the PodDisruptionBudget of %s expects %d pods and allows %d disruptions, want %d and 1",
			name, budget.Status.ExpectedPods, budget.Status.DisruptionsAllowed, len(pods))
	}
	return nil
}

// checkPod checks that a pod runs, that its Secrets and claims exist, and that a NetworkPolicy selects
// it.
func checkPod(all objects, p object) (err error) {
	if phase := p.Status.Phase; phase != "Running" && phase != "Succeeded" {
		err = fmt.Errorf("%s is %s: %s", p, phase, p.condition("PodScheduled").Message)
	}
	for _, key := range p.Spec.secrets() {
		if secret, found := all.named("Secret", key.Name); !found || secret.Data[key.Key] == "" {
			err = errors.Join(err, fmt.Errorf("%s needs key %s of the Secret %s, which does not exist", p, key.Key, key.Name))
		}
	}
	for _, v := range p.Spec.Volumes {
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil {
				err = errors.Join(err, fmt.Errorf("%s mounts a service account token in %s", p, v.Name))
			}
		}
		if claim, found := all.named("PersistentVolumeClaim", v.PersistentVolumeClaim.ClaimName); v.PersistentVolumeClaim.ClaimName != "" && (!found || claim.Status.Phase != "Bound") {
			err = errors.Join(err, fmt.Errorf("%s needs the claim %s, which is %q", p, v.PersistentVolumeClaim.ClaimName, claim.Status.Phase))
		}
	}
	for _, policy := range all.of("NetworkPolicy") {
		if isSubset(policy.Spec.PodSelector.MatchLabels, p.Metadata.Labels) {
			return err
		}
	}
	return errors.Join(err, fmt.Errorf("no NetworkPolicy selects %s", p))
}

func isSubset(some map[string]any, all map[string]string) bool {
	for name, value := range some {
		if all[name] != value {
			return false
		}
	}
	return true
}

// checkScaling checks the targets of autoscalers and the credentials of KEDA triggers.
func checkScaling(all objects) (err error) {
	for _, o := range all.of("HorizontalPodAutoscaler") {
		if !o.isTrue("AbleToScale") {
			err = errors.Join(err, fmt.Errorf("%s does not scale: %s", o, o.condition("AbleToScale").Message))
		}
		if d, _ := all.named("Deployment", o.Spec.ScaleTargetRef.Name); d.Spec.Replicas < o.Spec.MinReplicas {
			err = errors.Join(err, fmt.Errorf("%s keeps %s at %d pods, want at least %d", o, d, d.Spec.Replicas, o.Spec.MinReplicas))
		}
	}
	for _, o := range all.of("ScaledObject") {
		if _, found := all.named("Deployment", o.Spec.ScaleTargetRef.Name); !found {
			err = errors.Join(err, fmt.Errorf("%s scales %q, which does not exist", o, o.Spec.ScaleTargetRef.Name))
		}
		for _, trigger := range o.Spec.Triggers {
			authentication, found := all.named("TriggerAuthentication", trigger.AuthenticationRef.Name)
			if !found && trigger.AuthenticationRef.Name != "" {
				err = errors.Join(err, fmt.Errorf("%s needs %q, which does not exist", o, trigger.AuthenticationRef.Name))
			}
			for _, key := range authentication.Spec.SecretTargetRef {
				if secret, found := all.named("Secret", key.Name); !found || secret.Data[key.Key] == "" {
					err = errors.Join(err, fmt.Errorf("%s needs key %s of the Secret %s, which does not exist", authentication, key.Key, key.Name))
				}
			}
		}
	}
	return err
}

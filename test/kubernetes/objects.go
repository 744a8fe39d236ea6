package main

import (
	"slices"
	"strings"
)

// objects are some that the API server holds.
type objects []object

// object is one of them, as far as docs/DEPLOY.md promises something of it.
type object struct {
	Kind     string
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Data      map[string]string // of a Secret
	Endpoints []struct {        // of an EndpointSlice
		Conditions struct{ Ready bool }
	}
	Ports []struct{ Port int }
	Spec  struct {
		pod                                                  // of a pod
		Replicas        int                                  // of a Deployment
		Selector        map[string]any                       // of a Service
		PodSelector     struct{ MatchLabels map[string]any } // of a NetworkPolicy
		ScaleTargetRef  struct{ Name string }                // of an autoscaler
		MinReplicas     int
		Triggers        []struct{ AuthenticationRef struct{ Name string } }
		SecretTargetRef []secretKey // of a TriggerAuthentication
	}
	Status struct {
		Phase              string
		Conditions         []condition
		DisruptionsAllowed int // of a PodDisruptionBudget
		ExpectedPods       int
		Failed             int // pods of a Job
	}
	Reason, Message string // of an Event
}

type condition struct{ Type, Status, Reason, Message string }

type secretKey struct{ Name, Key string }

type pod struct {
	NodeName         string
	ImagePullSecrets []struct{ Name string }
	Containers       []struct {
		Name, Image string
		Env         []struct {
			ValueFrom struct{ SecretKeyRef secretKey }
		}
	}
	Volumes []struct {
		Name                  string
		PersistentVolumeClaim struct{ ClaimName string }
		Projected             struct {
			Sources []struct {
				Secret struct {
					Name  string
					Items []struct{ Key string }
				}
				ServiceAccountToken map[string]any
			}
		}
	}
}

// secrets are the keys of Secrets that the pod cannot start without.
func (p pod) secrets() (keys []secretKey) {
	for _, s := range p.ImagePullSecrets {
		keys = append(keys, secretKey{s.Name, ".dockerconfigjson"})
	}
	for _, c := range p.Containers {
		for _, e := range c.Env {
			if ref := e.ValueFrom.SecretKeyRef; ref.Name != "" {
				keys = append(keys, ref)
			}
		}
	}
	for _, v := range p.Volumes {
		for _, s := range v.Projected.Sources {
			for _, item := range s.Secret.Items {
				keys = append(keys, secretKey{s.Secret.Name, item.Key})
			}
		}
	}
	return keys
}

func (o object) String() string { return strings.ToLower(o.Kind) + "/" + o.Metadata.Name }

// is tells whether a condition of the object holds.
func (o object) is(condition string) bool {
	return o.condition(condition).Status == "True"
}

func (o object) condition(name string) (c condition) {
	for _, c := range o.Status.Conditions {
		if c.Type == name {
			return c
		}
	}
	return c
}

// of returns those of a kind.
func (os objects) of(kind string) objects {
	return slices.DeleteFunc(slices.Clone(os), func(o object) bool { return o.Kind != kind })
}

// with returns those that have a label.
func (os objects) with(label, value string) objects {
	return slices.DeleteFunc(slices.Clone(os), func(o object) bool { return o.Metadata.Labels[label] != value })
}

// named finds one of a kind.
func (os objects) named(kind, name string) (object, bool) {
	for _, o := range os {
		if o.Kind == kind && o.Metadata.Name == name {
			return o, true
		}
	}
	return object{}, false
}

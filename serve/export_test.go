package serve

// MaxBodies is the maximum number of concurrent requests of a route with bodies.
const MaxBodies = maxBodies

// Routes returns all routes as METHOD PATH.
func Routes() (all []string) {
	var s Server
	for _, r := range append(s.routes(), s.openRoutes()...) {
		all = append(all, r.method+" "+r.path)
	}
	return all
}

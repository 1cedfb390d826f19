package chat

// Action is something only some roles may do.
type Action string

// The actions. What is not listed for a role is refused.
const (
	ActRead            Action = "read"             // everything in the member's brands
	ActAnswer          Action = "answer"           // messages, comments, drafts, read, resolve, hold
	ActManageWork      Action = "manage_work"      // release and force what others hold
	ActManageMembers   Action = "manage_members"   // add, change, disable members
	ActManageWorkspace Action = "manage_workspace" // settings, brands, channels
)

var roleActions = map[Role][]Action{
	RoleAgent:      {ActRead, ActAnswer},
	RoleSupervisor: {ActRead, ActAnswer, ActManageWork},
	RoleAdmin:      {ActRead, ActAnswer, ActManageWork, ActManageMembers, ActManageWorkspace},
	RoleOwner:      {ActRead, ActAnswer, ActManageWork, ActManageMembers, ActManageWorkspace},
}

// Can reports whether a role may do something. Unknown roles and unknown
// actions are refused.
func (r Role) Can(a Action) bool {
	for _, x := range roleActions[r] {
		if x == a {
			return true
		}
	}
	return false
}

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { _, ok := roleActions[r]; return ok }

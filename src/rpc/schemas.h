// rpc/schemas.h - what results look like: short notes, and the JSON Schemas (draft 7) that rpc.discover makes of them.
//
// Notes    JSON values. "boolean" is a type, "Id" a name of the list in schemas.cpp, "Id|null" either; [X] is an array
//          of X; {"a":X,"b?":X} an object that has a and may have b; {"*":X} one with any names; {"...":"Id"} takes the
//          members of a named object over, {"...?":"Id"} as members that may be missing; {"=":S} is the schema S.
//          Objects are open: fields are only ever added (a test holds that none is given that is not noted here).
// Errors   a note that is wrong is a fault of ours: an invariant, which the test of the table meets first.
// Threads  pure functions.
#pragma once

#include <string_view>

#include <boost/json/object.hpp>

namespace qh::rpc {

/// The schema of a note; names become references to #/components/schemas.
boost::json::object schema_of_note(std::string_view note);

/// All named schemas, the message's included.
boost::json::object named_schemas();

}  // namespace qh::rpc

(* What OCaml programs do: a collector that walks the stack, exceptions, closures, threads, signals, files. *)
exception Own of int

type tree = Leaf | Node of tree * int * tree

let rec insert tree value =
  match tree with
  | Leaf -> Node (Leaf, value, Leaf)
  | Node (left, here, right) ->
      if value < here then Node (insert left value, here, right) else Node (left, here, insert right value)

let rec sum = function Leaf -> 0 | Node (left, here, right) -> sum left + here + sum right

let rec deep depth = if depth = 0 then raise (Own 17) else 1 + deep (depth - 1)

let collected rounds =
  let kept = ref [] in
  for round = 1 to rounds do
    kept := String.make 1000 'x' :: (if round mod 97 = 0 then [] else !kept);
    if round mod 101 = 0 then Gc.compact ()
  done;
  List.length !kept

let () =
  Printf.printf "%d %s\n" (Array.length Sys.argv) Sys.argv.(1);
  let tree = List.fold_left insert Leaf (List.init 307 (fun index -> index * 7919 mod 307)) in
  Printf.printf "%d\n" (sum tree);
  let caught = try deep 1009 with Own value -> value in
  Printf.printf "%d %d\n" caught (try int_of_string "none" with Failure _ -> 5);
  Printf.printf "%d\n" (collected 1009);
  let seen = ref 0 in
  Sys.set_signal Sys.sigusr1 (Sys.Signal_handle (fun _ -> incr seen; Gc.full_major ()));
  for _ = 1 to 7 do
    Unix.kill (Unix.getpid ()) Sys.sigusr1;
    ignore (collected 11)
  done;
  Printf.printf "%d\n" !seen;
  let results = Array.make 5 0 in
  let threads =
    List.init 5 (fun index ->
        Thread.create (fun () -> results.(index) <- collected (100 + index) + (try deep index with Own v -> v)) ())
  in
  List.iter Thread.join threads;
  Array.iter (Printf.printf "%d ") results;
  let sorted = List.sort compare [ 5; 2; 11; 3; 7 ] in
  Printf.printf "\n%s\n" (String.concat " " (List.map string_of_int sorted));
  let name = Filename.temp_file "everything" ".txt" in
  let channel = open_out name in
  for index = 1 to 11 do
    Printf.fprintf channel "line %d %s\n" index (Digest.to_hex (Digest.string (string_of_int index)))
  done;
  close_out channel;
  let channel = open_in name in
  Printf.printf "%d\n" (in_channel_length channel);
  close_in channel;
  Sys.remove name;
  at_exit (fun () -> print_endline "end");
  exit (3 + Sys.command "exit 5")
